import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenModel, runCommand } from "../../test/cli-world.ts";
import { parseConfig } from "../checkpoint/config.ts";
import { publishedConfigs } from "../checkpoint/published.ts";
import type { Inspection } from "./inspection.ts";
import { inspectDescription } from "./inspection.ts";
import { promptWork } from "./work.ts";

async function inspectJson(source: string): Promise<Inspection> {
  return JSON.parse((await runCommand(["inspect", source, "--json"])).output);
}

/** InternVL2-8B's sizes, written down again. */
const tower = { layers: 24, hidden: 1024, intermediate: 4096, rows: 1025 };
const language = { layers: 32, hidden: 4096, intermediate: 14336, keyValue: 1024, vocabulary: 92553 };

/** Values of the matrices of one layer of the language model. */
const wqkvValues = language.hidden * (language.hidden + 2 * language.keyValue);
const layerValues = wqkvValues + language.hidden ** 2 + 3 * language.hidden * language.intermediate;

describe("internvl inspect", () => {
  it("counts InternVL2-8B as its sizes say", async () => {
    const { parameters, work, memory, cacheBytesPerToken } = await inspectJson("8b");
    const norms = (2 * language.layers + 1) * language.hidden;
    const embeddings = 2 * language.vocabulary * language.hidden;
    expect(parameters.language).toBe(language.layers * layerValues + norms + embeddings);
    expect(parameters.total).toBe(8_075_365_376);
    expect(cacheBytesPerToken).toBe(language.layers * 2 * language.keyValue * 4);

    // Two operations a value and token; scores and weighted sums look back over all heads.
    expect(work.promptToken).toBe(2 * ((language.layers - 1) * layerValues + wqkvValues));
    expect(work.newToken).toBe(2 * (language.layers * layerValues + language.vocabulary * language.hidden));
    expect(work.lookBack).toBe(4 * language.layers * language.hidden);
    const { rows, hidden, intermediate, layers } = tower;
    const towerLayer = 2 * rows * (4 * hidden ** 2 + 2 * hidden * intermediate) + 4 * rows ** 2 * hidden;
    const patches = 2 * rows * 588 * hidden;
    const projector = 2 * 256 * (4 * hidden * language.hidden + language.hidden ** 2);
    expect(work.tile).toBe(layers * towerLayer + patches + projector);

    const bytes = Object.fromEntries(memory.map((each) => [each.weights, each.bytes]));
    expect(bytes.checkpoint).toBe(2 * parameters.total);
    const products = language.layers * layerValues;
    const output = language.vocabulary * language.hidden;
    const rest = parameters.total - products - output;
    const layerRows =
      2 * language.hidden + 2 * language.keyValue + 2 * language.intermediate + language.hidden;
    const outputBytes = output + 4 * language.vocabulary;
    expect(bytes.int8).toBe(products + 4 * language.layers * layerRows + outputBytes + 2 * rest);
    expect(bytes.int4).toBe(products * (1 / 2 + 1 / 8) + outputBytes + 2 * rest);
  });

  it("counts other sizes otherwise", async () => {
    const config = structuredClone(publishedConfigs["8b"]) as { llm_config: { intermediate_size: number } };
    config.llm_config.intermediate_size += 1;
    const right = await inspectJson("8b");
    const wrong = await inspectDescription("8b", parseConfig(config));
    expect(wrong.work.promptToken - right.work.promptToken).toBe(2 * 31 * 3 * 4096);
    expect(wrong.parameters.language - right.parameters.language).toBe(32 * 3 * 4096);
  });

  it("adds up a prompt", () => {
    const work = { tile: 0, promptToken: 10, newToken: 0, lookBack: 1 };
    expect(promptWork(work, 3)).toBe(30 + 1 + 2 + 3);
  });

  it.each([
    ["1b", 0.9e9],
    ["2b", 2.2e9],
    ["4b", 4.2e9],
    ["8b", 8.1e9],
    ["26b", 25.5e9],
    ["40b", 40.1e9],
    ["76b", 76.3e9],
  ])("has the published size of %s", async (name, published) => {
    const { parameters } = await inspectJson(name);
    expect(Math.abs(parameters.total / published - 1)).toBeLessThan(0.05);
  });

  it("describes a folder, whole or in shards", async () => {
    const whole = await runCommand(["inspect", goldenModel("tiny-2b")]);
    expect(whole).toMatchObject({ exitCode: 0, errors: "" });
    for (const line of [
      "InternViT and InternLM2",
      "16 tokens a tile, at most 112 a picture",
      /model\.safetensors 2\.8\d MB/,
      "of BF16",
      "yes: every tensor is there",
    ]) {
      expect(whole.output).toMatch(line);
    }
    const { stored } = await inspectJson(goldenModel("tiny-26b"));
    expect(stored).toMatchObject({ complete: true });
    expect(Object.keys(stored!.files)).toHaveLength(2);
    const bytes = Object.values(stored!.tensors).reduce((sum, each) => sum + each.bytes, 0);
    expect(bytes).toBe(2 * (await inspectJson(goldenModel("tiny-26b"))).parameters.total);
  });

  it("says what is missing, and ends with 1", async () => {
    const folder = mkdtempSync(join(tmpdir(), "internvl-"));
    cpSync(goldenModel("tiny-2b"), folder, { recursive: true });
    truncateSync(join(folder, "model.safetensors"), 100_000);
    const cut = await runCommand(["inspect", folder]);
    expect(cut).toMatchObject({ exitCode: 1, errors: "" });
    expect(cut.output).toMatch(/complete +no: model\.safetensors: .*download it again/);
    expect(cut.output).toContain("parameters");
    rmSync(join(folder, "model.safetensors"));
    expect((await runCommand(["inspect", folder])).output).toMatch(/complete +no: .*holds neither/);
    writeFileSync(join(folder, "config.json"), readFileSync(join(folder, "expected.json")));
    const other = await runCommand(["inspect", folder]);
    expect(other).toMatchObject({ exitCode: 1, output: "" });
    expect(other.errors).toMatch(/^internvl: config\.json: /);
  });

  it("downloads nothing: a hub id has to be in the cache", async () => {
    const env = { HF_HUB_CACHE: mkdtempSync(join(tmpdir(), "internvl-")) };
    const { exitCode, errors } = await runCommand(["inspect", "Org/Name"], { env });
    expect(exitCode).toBe(2);
    expect(errors).toContain("run: internvl pull Org/Name");
    expect((await runCommand(["inspect", "9b"])).errors).toContain("9b: there is no such folder");
  });
});
