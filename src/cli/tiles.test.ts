import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenImage, runCommand } from "../../test/cli-world.ts";
import { decodeImage } from "../media/decode.ts";
import { loadImage } from "../media/sources.ts";
import { tileImage } from "../media/tiles.ts";

const wide = goldenImage("wide.png");

describe("internvl tiles", () => {
  it("writes each tile with exactly its pixels", async () => {
    const out = join(mkdtempSync(join(tmpdir(), "internvl-")), "deep", "tiles");
    const args = ["tiles", wide, "--out", out, "--max-tiles", "4", "--tile-size", "112", "--json"];
    const { exitCode, output } = await runCommand(args);
    expect(exitCode).toBe(0);
    const said = JSON.parse(output);
    expect(said).toMatchObject({
      size: { width: 600, height: 180 },
      grid: { columns: 3, rows: 1 },
      tileSize: 112,
      tiles: 4,
      imageTokens: 4 * 16,
    });
    const { tiles } = tileImage(await loadImage(wide), { maxTiles: 4, tileSize: 112 });
    const written = await Promise.all(said.files.map((file: string) => decodeImage(readFileSync(file))));
    expect(written.map(({ data }) => data)).toEqual(tiles);
    // One pixel more would show.
    tiles[3][5] ^= 1;
    expect(written.map(({ data }) => data)).not.toEqual(tiles);
    expect(readdirSync(out)).toEqual([
      "wide-row-1-column-1.png",
      "wide-row-1-column-2.png",
      "wide-row-1-column-3.png",
      "wide-thumbnail.png",
    ]);
  });

  it("prints the grid, and writes nothing without --out", async () => {
    const { exitCode, output } = await runCommand(["tiles", wide]);
    expect(exitCode).toBe(0);
    expect(output).toBe(
      ["size          600 x 180", "grid          3 x 1", "tile size     448", "tiles         4"]
        .concat("image tokens  1024", "")
        .join("\n"),
    );
  });

  it.each([
    [["tiles"], "there is no picture"],
    [["tiles", wide, "--tile-size", "100"], "--tile-size: must be a multiple of 28 (got 100)"],
    [["tiles", wide, "--tile-size", "0"], "--tile-size: must be a whole number"],
    [["tiles", wide, "--max-tiles", "0"], "--max-tiles: must be a whole number"],
    [["tiles", wide, "--min-tiles", "13"], "--min-tiles: must be a whole number from 1 to 12"],
    [["tiles", wide, "--video", "clip.mp4"], "--video: can not be combined"],
    [["tiles", wide, "--segments", "2"], "--segments: is only read with --video"],
    [["tiles", "--video", "clip.mp4", "--max-tiles", "2"], "--max-tiles: a frame is always one tile"],
  ])("refuses %j", async (args, message) => {
    const { exitCode, errors } = await runCommand(args);
    expect(errors).toContain(`internvl: ${message}`);
    expect(exitCode).toBe(2);
  });

  it("ends with 1 for pictures and folders that are not to be had", async () => {
    const missing = await runCommand(["tiles", "missing.png"]);
    expect(missing.exitCode).toBe(1);
    expect(missing.errors).toBe("internvl: missing.png: there is no such file; check the path\n");
    const blocked = await runCommand(["tiles", wide, "--out", join(wide, "below")]);
    expect(blocked.exitCode).toBe(1);
    expect(blocked.errors).toContain("cannot be written (ENOTDIR); name another folder with --out");
    if (existsSync("/proc/self")) {
      expect((await runCommand(["tiles", wide, "--out", "/proc/internvl"])).errors).toContain("ENOENT");
    }
  });
});
