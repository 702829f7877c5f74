import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../src/checkpoint/config.ts";
import { type PublishedName, publishedConfigs } from "../src/checkpoint/published.ts";
import { chooseGrid, sampleFrames } from "../src/index.ts";

const root = join(import.meta.dirname, "..");
const text = readFileSync(join(root, "MODEL.md"), "utf8");

/** The cells of every table row. */
const rows = text
  .split("\n")
  .filter((line) => line.startsWith("| "))
  .map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
const links = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target);

describe("MODEL.md", () => {
  it("links to files that are there", () => {
    const files = links.filter((link) => !link.startsWith("#"));
    expect(files.length).toBeGreaterThan(40);
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });

  it("links to headings that are there", () => {
    const anchors = [...text.matchAll(/^## (.+)$/gm)].map(
      ([, title]) =>
        `#${title
          .toLowerCase()
          .replace(/[^\w\- ]/g, "")
          .replaceAll(" ", "-")}`,
    );
    expect(links.filter((link) => link.startsWith("#"))).toEqual(anchors);
  });

  it("has the published sizes", () => {
    for (const name of Object.keys(publishedConfigs) as PublishedName[]) {
      const { language, vision, template, tiling } = parseConfig(publishedConfigs[name]);
      expect(rows).toContainEqual([
        name,
        language.architecture,
        `${language.hiddenSize}`,
        `${language.layers}`,
        `${language.heads} / ${language.keyValueHeads}`,
        `${language.intermediateSize}`,
        `${language.vocabularySize}`,
        vision.layers === 45 ? "6B" : "300M",
        template,
      ]);
      expect(rows).toContainEqual([
        vision.layers === 45 ? "6B" : "300M",
        `${vision.hiddenSize}`,
        `${vision.layers}`,
        `${vision.heads}`,
        `${vision.intermediateSize}`,
        vision.norm === "layer_norm" ? "LayerNorm" : "RMSNorm",
        vision.qkNormalization ? "yes" : "no",
        vision.qkvBias ? "yes" : "no",
      ]);
      expect(tiling.tokensPerTile).toBe(256);
    }
  });

  it("has examples of grids that are true", () => {
    const examples = rows.filter(([picture, , grid]) => /^\d+ × \d+$/.test(picture) && /×/.test(grid));
    expect(examples).toHaveLength(9);
    for (const [picture, maxTiles, grid, tiles] of examples) {
      const [width, height] = picture.split(" × ").map(Number);
      const [columns, lines] = chooseGrid(width, height, { maxTiles: Number(maxTiles) });
      expect(`${columns} × ${lines}`, `${picture} at ${maxTiles}`).toBe(grid);
      expect(columns * lines + (columns * lines > 1 ? 1 : 0)).toBe(Number(tiles));
    }
  });

  it("has the frames and the magnitude that the code works out", () => {
    const frames = sampleFrames({ fps: 30, lastFrame: 894, segments: 8 });
    expect(text).toContain(`\`${frames.join(", ")}\``);
    const { rope } = parseConfig(publishedConfigs["4b"]).language;
    expect(rope.kind === "longrope" && rope.magnitude.toFixed(5)).toBe("1.19024");
    expect(text).toContain("1.19024");
  });

  it("names every operation", () => {
    const source = readFileSync(join(root, "src/graph/operations.ts"), "utf8");
    const kinds = [...source.matchAll(/readonly kind: "(\w+)"/g)].map(([, kind]) => kind);
    expect(kinds).toHaveLength(12);
    expect(kinds.filter((kind) => !text.includes(`\`${kind}\``))).toEqual([]);
  });
});
