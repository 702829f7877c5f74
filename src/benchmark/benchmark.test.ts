import { beforeAll, describe, expect, it } from "vitest";
import { nativeVariants } from "../../test/backend-comparison.ts";
import { smallHost as small, tinySubject as tiny } from "../../test/support/tiny-subject.ts";
import { DeviceError, MemoryError, OptionError } from "../errors.ts";
import { benchmark } from "./benchmark.ts";
import { describeReport } from "./describe.ts";
import { nodeHost } from "./host.node.ts";
import type { BenchmarkReport } from "./report.ts";
import type { Phase } from "./roofline.ts";
import { syntheticSubject } from "./shapes.ts";

const native = (await nativeVariants()).length > 0;

/** All numbers of a report, by their paths. */
function numbersOf(value: unknown, path = ""): [string, number][] {
  if (typeof value === "number") return [[path, value]];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) => numbersOf(part, `${path}.${name}`));
}

function expectSound(report: BenchmarkReport): void {
  for (const [path, value] of numbersOf(report)) expect(value, path).toSatisfy(Number.isFinite);
  const { decode, prefill, vision, limits, load } = report;
  for (const { percentOfLimit } of vision ? [decode, prefill, vision] : [decode, prefill]) {
    expect(percentOfLimit).toBeGreaterThan(0);
    expect(percentOfLimit).toBeLessThanOrEqual(130);
  }
  expect(decode.tokensPerSecond).toBeGreaterThan(0);
  expect(decode.spread.min).toBeLessThanOrEqual(decode.tokensPerSecond);
  expect(decode.spread.max).toBeGreaterThanOrEqual(decode.tokensPerSecond);
  expect(report.hostMillisecondsPerStep).toBeGreaterThan(0);
  expect(report.hostMillisecondsPerStep).toBeLessThan(decode.msPerStep);
  expect(report.timeToFirstTokenMs).toBeGreaterThan(prefill.milliseconds * 0.5);
  expect(report.peakMemoryBytes).toBeGreaterThan(report.measured.weightBytes);
  expect(load.gigabytesPerSecond).toBeGreaterThan(0);
  expect(limits!.readGigabytesPerSecond).toBe(
    Math.max(limits!.before.readGigabytesPerSecond, limits!.after.readGigabytesPerSecond),
  );
}

describe.skipIf(!native)("a benchmark on the cpu", () => {
  let report: BenchmarkReport;
  beforeAll(async () => {
    report = await benchmark(
      tiny(),
      { device: "cpu", layers: 2, tiles: 2, promptTokens: 20, newTokens: 4, repeat: 3, roofline: true },
      small,
    );
  }, 60_000);

  it("has all figures, finite and within the limits", () => expectSound(report));

  it("says what was run", () => {
    expect(report.subject).toEqual({ name: "tiny-8b", synthetic: true });
    expect(report.measured.layers).toEqual({ vision: 2, language: 2 });
    expect(report.measured.whole).toBe(false);
    expect(report.extrapolated!.decodeTokensPerSecond).toBeLessThan(report.decode.tokensPerSecond);
    expect(report.options).toMatchObject({ device: "cpu", layers: 2, tiles: 2, promptTokens: 20, batch: 1 });
    expect(report.machine).toMatchObject({ device: "cpu", kernels: expect.stringMatching(/^native /) });
    expect(Object.keys(JSON.parse(JSON.stringify(report)))).toEqual([
      "subject",
      "machine",
      "measured",
      "options",
      "load",
      "vision",
      "prefill",
      "decode",
      "timeToFirstTokenMs",
      "hostMillisecondsPerStep",
      "peakMemoryBytes",
      "limits",
      "extrapolated",
      "roofline",
    ]);
  });

  it.each(["vision", "prefill", "decode"] as Phase[])("has rows that sum to the whole of %s", (phase) => {
    const [all, ...rows] = report.roofline!.filter((row) => row.phase === phase);
    expect(all.operation).toBe("all");
    for (const field of ["count", "flops", "bytes", "milliseconds"] as const) {
      const total = rows.reduce((sum, row) => sum + row[field]!, 0);
      expect(total, field).toBeCloseTo(all[field]!, 3);
      // And a row left out is noticed.
      const heaviest = Math.max(...rows.map((row) => row[field]!));
      expect(Math.abs(total - heaviest - all[field]!), field).toBeGreaterThan(1e-3);
    }
    const { tokensPerSecond, teraflops } = report.prefill;
    if (phase === "prefill") {
      const seconds = report.measured.promptTokens / tokensPerSecond;
      expect(all.flops / seconds / 1e12 / teraflops).toBeCloseTo(1, 6);
    }
  });

  it("reads well as a text", () => {
    const text = describeReport(report);
    expect(text).toContain("2 of");
    expect(text).toMatch(/decode +[\d.e-]+ tokens\/s +[\d.e-]+ GB\/s +[\d.]+ %/);
    expect(text).toContain("EXTRAPOLATED");
    expect(text).not.toMatch(/NaN|Infinity|undefined|null/);
  });

  it("does not extrapolate from one layer, whose prompt ends with the rows that are asked for", async () => {
    const one = { device: "cpu", layers: 1, tiles: 1, promptTokens: 9, newTokens: 2, repeat: 1 } as const;
    const { extrapolated } = await benchmark(tiny(), one, small);
    expect(extrapolated).toBeUndefined();
  });

  it("measures conversations that decode together, each with a prompt of its own", async () => {
    const together = await benchmark(
      tiny(),
      { device: "cpu", tiles: 1, promptTokens: 300, newTokens: 5, batch: 4, repeat: 1 },
      small,
    );
    expectSound(together);
    expect(together.measured.whole).toBe(true);
    expect(together.extrapolated).toBeUndefined();
    expect(together.roofline).toBeUndefined();
  });

  it.each(["int8", "int4"] as const)("measures weights of %s", async (weights) => {
    const options = { device: "cpu", weights, tiles: 0, promptTokens: 9, newTokens: 2, repeat: 1 } as const;
    const quantised = await benchmark(tiny(), options, small);
    expectSound(quantised);
    expect(quantised.vision).toBeNull();
    expect(quantised.measured.weightBytes).toBeLessThan(
      (await benchmark(tiny(), { ...options, weights: "checkpoint" }, small)).measured.weightBytes,
    );
  });

  it("runs one layer of the true 1B", async () => {
    const options = { device: "cpu", layers: 1, tiles: 1, promptTokens: 4, newTokens: 1, repeat: 1 } as const;
    const oneLayer = await benchmark(syntheticSubject("1b"), options, {
      ...small,
      availableMemory: () => 2e9,
    });
    expectSound(oneLayer);
    expect(oneLayer.measured.layersOfTheModel).toEqual({ vision: 24, language: 24 });
  });

  it("says that there is not enough memory before it loads anything", async () => {
    const stages: string[] = [];
    const poor = { ...nodeHost, availableMemory: () => 10e9 };
    await expect(
      benchmark(syntheticSubject("8b"), { device: "cpu" }, poor, { onStage: (stage) => stages.push(stage) }),
    ).rejects.toThrow(MemoryError);
    expect(stages).toEqual([]);
  });

  it("ends at once when it is cancelled, while loading and while running", async () => {
    for (const phase of ["load", "prefill"]) {
      const controller = new AbortController();
      const reason = new Error("enough");
      const running = benchmark(tiny(), { device: "cpu", tiles: 1, repeat: 100 }, small, {
        signal: controller.signal,
        onProgress: (progress) => progress.phase === phase && controller.abort(reason),
      });
      await expect(running).rejects.toBe(reason);
    }
  });
});

describe("a benchmark of the plain backend", () => {
  it("measures time, and leaves out what it does not know", async () => {
    const report = await benchmark(
      tiny(),
      { device: "reference", tiles: 1, promptTokens: 5, newTokens: 2, repeat: 1, roofline: true },
      small,
    );
    expect(report.limits).toBeNull();
    expect(report.decode.percentOfLimit).toBeNull();
    expect(report.decode.tokensPerSecond).toBeGreaterThan(0);
    expect(report.roofline!.every(({ milliseconds }) => milliseconds === null)).toBe(true);
    expect(describeReport(report)).not.toMatch(/NaN|Infinity|undefined|null/);
  });

  it("refuses what can not be", async () => {
    await expect(benchmark(tiny(), { device: "gpu" as "cpu" }, nodeHost)).rejects.toThrow(DeviceError);
    await expect(benchmark(tiny(), { weights: "int2" as "int8" }, nodeHost)).rejects.toThrow(OptionError);
    await expect(benchmark(tiny(), { device: "reference", weights: "int8" }, nodeHost)).rejects.toThrow(
      OptionError,
    );
  });
});
