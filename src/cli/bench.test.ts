import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { nativeVariants } from "../../test/backend-comparison.ts";
import { TestWorld } from "../../test/cli-world.ts";
import type { BenchmarkReport } from "../benchmark/report.ts";

const native = (await nativeVariants()).length > 0;
const tiny = new URL("../../test/golden/models/tiny-1b", import.meta.url).pathname;
const quick = ["--tiles", "0", "--prompt-tokens", "4", "--new-tokens", "1", "--repeat", "1"];

describe("internvl bench", () => {
  it.each([
    [["--layers", "0"], "--layers: must be a whole number from 1 to 1000 (got 0)"],
    [["--layers", "one"], "--layers: must be a number"],
    [["--tiles", "-1"], "--tiles: must be a whole number"],
    [["--prompt-tokens", "40000"], "--prompt-tokens: with 1792 tokens of the picture"],
    [["--new-tokens", "0"], "--new-tokens: must be"],
    [["--batch", "0.5"], "--batch: must be"],
    [["--shape", "7b"], "--shape: must be one of 1b, 2b, 4b, 8b, 26b, 40b, 76b"],
    [["--weights", "int2"], "--weights: must be one of checkpoint, int8, int4"],
    [["--precision", "f64"], "--precision: must be"],
    [["--shape", "8b", "--model", tiny], "--shape, --model: give one of them"],
    [["--revision", "v1"], "--revision: is only read with --model"],
    [["--model", "no/such/folder"], "there is no such folder"],
  ])("refuses %j", async (flags, message) => {
    const world = new TestWorld();
    expect(await world.run("bench", ...flags)).toBe(2);
    expect(world.errors).toContain(message);
    expect(world.output).toBe("");
  });

  it("does not know every device", async () => {
    const world = new TestWorld();
    expect(await world.run("bench", "--device", "tpu")).toBe(1);
    expect(world.errors).toContain("tpu: there is no such device");
  });

  it.skipIf(!native)("measures a real checkpoint, as JSON, with its stages on standard error", async () => {
    const world = new TestWorld();
    expect(await world.run("bench", "--model", tiny, ...quick, "--json")).toBe(0);
    const report = JSON.parse(world.output) as BenchmarkReport;
    expect(report.subject).toEqual({ name: tiny, synthetic: false });
    expect(report.measured.whole).toBe(true);
    const config = JSON.parse(readFileSync(`${tiny}/config.json`, "utf8")) as {
      llm_config: { num_hidden_layers: number };
    };
    expect(report.measured.layers.language).toBe(config.llm_config.num_hidden_layers);
    expect(report.decode.tokensPerSecond).toBeGreaterThan(0);
    expect(world.errors).toContain("measuring the machine's limits ...\nloading weights ...");
  });

  it.skipIf(!native)("ends at Ctrl-C", async () => {
    const world = new TestWorld();
    const running = world.run("bench", "--model", tiny, "--repeat", "1000");
    world.stderr.on("data", (text) => {
      if (String(text).startsWith("repeat 1")) world.interrupts.interrupt();
    });
    expect(await running).toBe(130);
    expect(world.errors).toContain("internvl: cancelled");
  });
});
