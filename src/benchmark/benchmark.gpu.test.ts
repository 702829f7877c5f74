import { afterEach, describe, expect, it, vi } from "vitest";
import { presentAdapters, settingsFor } from "../../test/support/adapters.ts";
import { smallHost, tinySubject } from "../../test/support/tiny-subject.ts";
import { benchmark } from "./benchmark.ts";
import { describeReport } from "./describe.ts";

afterEach(() => vi.unstubAllEnvs());

describe.each(await presentAdapters("lavapipe"))("a benchmark on %s", (adapter) => {
  it("makes programs before what is measured, and says how long the very first token took", async () => {
    vi.stubEnv("INTERNVL_WEBGPU", settingsFor(adapter));
    const options = {
      device: "webgpu",
      tiles: 1,
      promptTokens: 9,
      newTokens: 2,
      repeat: 1,
      layers: 1,
    } as const;
    const stages: string[] = [];
    const report = await benchmark(tinySubject(), options, smallHost, {
      onStage: (stage) => stages.push(stage),
    });
    expect(stages.filter((stage) => stage.startsWith("repeat"))).toEqual(["repeat 1 of 1"]);
    const { load, timeToFirstTokenMs, decode } = report;
    // A program takes far longer to make than to run, here.
    expect(load.firstTokenSeconds! - load.seconds).toBeGreaterThan((2 * timeToFirstTokenMs) / 1000);
    expect(decode.busyPercent).toBeGreaterThan(0);
    expect(describeReport(report)).toMatch(/load to token +[\d.]+ s/);
  }, 120_000);
});
