import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { runTurnedAttention, type TurnedCase } from "../../../../test/support/run-turned-attention.ts";
import "../../../../test/support/to-be-allclose.ts";
import type { WebGpuDevice } from "../device.ts";
import { type PagedDecodeOptions, pagedDecode, pagedDecodeWorkgroups } from "./paged-decode.wgsl.ts";
import { pagedDecodeCombine, pagedDecodeCombineWorkgroups } from "./paged-decode-combine.wgsl.ts";
import { pagedDecodePartialBytes } from "./paged-decode-splits.ts";

interface Team
  extends Pick<
    PagedDecodeOptions,
    "lanes" | "width" | "unroll" | "threads" | "together" | "ahead" | "scatter"
  > {
  readonly splits: number;
  readonly halfOutput?: boolean;
}

/** Only the new token; pages of several steps and steps of several pages; tokens on two pages; several of one sequence. */
const cases: (TurnedCase & Team)[] = [
  {
    ...{ heads: 4, keyValueHeads: 2, headSize: 32, pageSize: 8, cacheType: "f16", shared: true },
    ...{ lengths: [1, 37, 64], fresh: [1, 1, 1] },
    ...{ lanes: 4, width: 4, unroll: 1, threads: 16, splits: 3 },
  },
  {
    ...{ heads: 4, keyValueHeads: 2, headSize: 32, pageSize: 8, cacheType: "f16", shared: true },
    ...{ lengths: [70, 5, 90], fresh: [3, 0, 8] },
    ...{ lanes: 2, width: 4, unroll: 2, threads: 32, splits: 2, ahead: true, halfOutput: true },
  },
  {
    ...{ heads: 6, keyValueHeads: 6, headSize: 64, pageSize: 16, cacheType: "f32", shared: false },
    ...{ lengths: [17], fresh: [3], spread: 3 },
    ...{ lanes: 4, width: 4, unroll: 1, threads: 16, splits: 1 },
  },
  {
    ...{ heads: 3, keyValueHeads: 1, headSize: 96, pageSize: 4, cacheType: "f16", shared: false },
    ...{ lengths: [40, 2], fresh: [1, 2] },
    ...{ lanes: 4, width: 4, unroll: 2, threads: 32, splits: 2 },
  },
  {
    ...{ heads: 32, keyValueHeads: 8, headSize: 128, pageSize: 64, cacheType: "f16", shared: true },
    ...{ lengths: [150], fresh: [1] },
    ...{ lanes: 4, width: 4, unroll: 1, threads: 32, splits: 5, ahead: true },
  },
  {
    ...{ heads: 4, keyValueHeads: 1, headSize: 24, pageSize: 64, cacheType: "f32", shared: true },
    ...{ lengths: [7, 65], fresh: [7, 2] },
    ...{ lanes: 2, width: 4, unroll: 2, threads: 16, together: 2, splits: 1, halfOutput: true },
  },
  {
    ...{ heads: 4, keyValueHeads: 2, headSize: 32, pageSize: 8, cacheType: "f16", shared: true },
    ...{ lengths: [1, 70, 33], fresh: [1, 2, 0] },
    ...{ lanes: 2, width: 4, unroll: 2, threads: 128, together: 1, splits: 1 },
  },
  {
    ...{ heads: 4, keyValueHeads: 4, headSize: 64, pageSize: 32, cacheType: "f32", shared: true },
    ...{ lengths: [75, 64], fresh: [1, 1] },
    ...{ lanes: 4, width: 4, unroll: 2, threads: 64, together: 1, splits: 1, ahead: true },
  },
  {
    ...{ heads: 4, keyValueHeads: 2, headSize: 32, pageSize: 8, cacheType: "f16", shared: true },
    ...{ lengths: [70, 5, 90], fresh: [3, 0, 8] },
    ...{ lanes: 2, width: 4, unroll: 2, threads: 32, splits: 2, halfOutput: true, scatter: true },
  },
  {
    ...{ heads: 3, keyValueHeads: 1, headSize: 32, pageSize: 4, cacheType: "f16", shared: false },
    ...{ lengths: [40, 2], fresh: [1, 2] },
    ...{ lanes: 4, width: 4, unroll: 2, threads: 32, splits: 2, ahead: true, scatter: true },
  },
  {
    ...{ heads: 2, keyValueHeads: 1, headSize: 32, pageSize: 16, cacheType: "f16", shared: true },
    ...{ lengths: [75, 64], fresh: [1, 2] },
    ...{ lanes: 4, width: 4, unroll: 4, threads: 16, splits: 2, scatter: true },
  },
  {
    ...{ heads: 4, keyValueHeads: 1, headSize: 24, pageSize: 64, cacheType: "f32", shared: true },
    ...{ lengths: [7, 65], fresh: [7, 2] },
    ...{
      lanes: 2,
      width: 4,
      unroll: 2,
      threads: 16,
      together: 1,
      splits: 1,
      halfOutput: true,
      scatter: true,
    },
  },
];

/** The kernels of a case, and how they are run. */
function runOf(of: TurnedCase & Team) {
  const { heads, keyValueHeads, headSize, pageSize, cacheType, shared } = of;
  const { lanes, width, unroll, threads, together, ahead, scatter, splits, halfOutput = false } = of;
  const rows = of.fresh.reduce((sum, n) => sum + n, 0);
  const result = halfOutput ? "f16" : "f32";
  const shape = { heads, keyValueHeads, headSize, pageSize, cacheType, turning: { shared } };
  const team = { lanes, width, unroll, threads, together, ahead, scatter };
  return {
    kernel: pagedDecode({ ...shape, ...team, result: splits === 1 ? result : "f32" }),
    workgroups: pagedDecodeWorkgroups({ heads, keyValueHeads, together }, { rows, splits }),
    splits,
    partialBytes: pagedDecodePartialBytes(shape, { rows, splits }),
    halfOutput,
    ...(splits > 1 && {
      combine: {
        kernel: pagedDecodeCombine({ heads, headSize, result }),
        workgroups: pagedDecodeCombineWorkgroups(shape, { rows }),
      },
    }),
  };
}

const nameOf = (of: object) => JSON.stringify(of).replace(/[{}"]/g, "");

// Their subgroups are of 8 and of 4.
describe.each(await presentAdapters("lavapipe", "SwiftShader"))("decoding with a rotary on %s", (adapter) => {
  let opened: Promise<WebGpuDevice> | undefined;
  const device = () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
  afterAll(async () => (await opened)?.destroy());

  it.each(cases.map((of) => [nameOf(of), of] as const))("%s", async (_, of) => {
    const { got, wanted, kept, wantedKept, strays } = await runTurnedAttention(await device(), of, runOf(of));
    // Devices round to f16 in their own ways.
    const rounds = of.cacheType === "f16" || of.halfOutput;
    expect(kept).toBeAllclose(wantedKept, { ofRange: of.cacheType === "f16" ? 5e-4 : 1e-6 });
    expect(got).toBeAllclose(wanted, { ofRange: rounds ? 5e-4 : 2e-6 });
    expect(strays).toBe(0);
  });

  it.each([
    [1, "own * angles[angle] + other", "own * angles[angle] - other"],
    [1, "n + group <= token;", "n + group < max(token, 1u);"],
    [1, "&& row == token", "&& row != token"],
    [1, "b0 * cosine0 + a0 * sine0", "b0 * cosine0 - a0 * sine0"],
    [8, "let odd0 = (lane & 1u) != 0u;", "let odd0 = (lane & 1u) == 0u;"],
    [8, "inBlock < 2u", "inBlock < 1u"],
    [10, "let ownRow = (lane >> 1u) & 1u;", "let ownRow = 0u;"],
  ] as const)("case %i is found out with %s changed", async (which, text, change) => {
    const run = runOf(cases[which]);
    const code = run.kernel.code.replaceAll(text, change);
    expect(code).not.toBe(run.kernel.code);
    const wrong = await runTurnedAttention(await device(), cases[which], {
      ...run,
      kernel: { ...run.kernel, code },
    });
    const right = () => {
      expect(wrong.kept).toBeAllclose(wrong.wantedKept, { ofRange: 0.01 });
      expect(wrong.got).toBeAllclose(wrong.wanted, { ofRange: 0.01 });
      expect(wrong.strays).toBe(0);
    };
    expect(right).toThrow();
  });
});
