import { describe, expect, it } from "vitest";
import { faultsOf, nullDevice } from "../../../../test/support/null-device.ts";
import type { Kernel } from "../kernel.ts";
import { flashBytes, flashTiles } from "./matrix-flash.ts";
import { pagedDecode } from "./paged-decode.wgsl.ts";
import { pagedDecodeCombine } from "./paged-decode-combine.wgsl.ts";
import { pagedDecodePortable } from "./paged-decode-portable.wgsl.ts";
import { pagedDecodeSplits } from "./paged-decode-splits.ts";
import { pagedPrefillMatrix } from "./paged-prefill-matrix.wgsl.ts";
import { pagedPrefillPortable } from "./paged-prefill-portable.wgsl.ts";
import { tileAttentionMatrix, tileHalves } from "./tile-attention-matrix.wgsl.ts";
import { tileAttentionPortable } from "./tile-attention-portable.wgsl.ts";

const both = [true, false];
const results = ["f32", "f16"] as const;
const sizes = [32, 64, 96, 128];
/** Heads over key-value heads, as the published checkpoints share them. */
const shared = [
  [32, 8],
  [14, 2],
  [32, 32],
] as const;
const pageSize = 64;
const large = { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 };

const matrixKernels = sizes.flatMap((headSize) =>
  flashTiles(headSize, large).flatMap((tiles) => [
    ...both.flatMap((together) =>
      both.flatMap((halves) =>
        results.map((result) =>
          tileAttentionMatrix({ heads: 16, headSize, together, halves, result, tiles }),
        ),
      ),
    ),
    ...shared.flatMap(([heads, keyValueHeads]) =>
      results.map((result) =>
        pagedPrefillMatrix({ heads, keyValueHeads, headSize, pageSize, result, tiles }),
      ),
    ),
  ]),
);

const decodeKernels = [4, 8, 16].flatMap((lanes) =>
  (["f16", "f32"] as const).flatMap((cacheType) =>
    results.map((result) =>
      pagedDecode({
        heads: 32,
        keyValueHeads: 8,
        headSize: 128,
        pageSize,
        cacheType,
        lanes,
        unroll: 4,
        width: 16,
        threads: 64,
        result,
      }),
    ),
  ),
);

/** As lowered for graphics cards: they take more bindings and workgroup memory than the device that checks them has. */
const teamKernels = [
  { threads: 128, unroll: 4 },
  { threads: 256, unroll: 2, ahead: true },
  { threads: 1024, unroll: 2, together: 1 },
  { threads: 256, unroll: 2, ahead: true, scatter: true },
  { threads: 128, unroll: 4, scatter: true },
].flatMap((team) =>
  shared.flatMap(([heads, keyValueHeads]) =>
    [undefined, { shared: true }, { shared: false }].flatMap((turning) =>
      (["f16", "f32"] as const).map((cacheType) => {
        const shape = { heads, keyValueHeads, headSize: 128, pageSize, cacheType };
        return pagedDecode({ ...shape, lanes: 16, width: 32, ...team, turning });
      }),
    ),
  ),
);

const combineKernels = sizes.flatMap((headSize) =>
  results.flatMap((result) =>
    both.map((subgroups) => pagedDecodeCombine({ heads: 32, headSize, result, subgroups })),
  ),
);

const portableKernels = sizes.flatMap((headSize) => [
  ...both.map((together) => tileHalves({ heads: 16, headSize, together })),
  ...both.flatMap((rolled) => [
    ...both.map((together) => tileAttentionPortable({ heads: 16, headSize, together, unroll: 4, rolled })),
    ...(["f16", "f32"] as const).map((cacheType) =>
      pagedPrefillPortable({ heads: 14, keyValueHeads: 2, headSize, pageSize, cacheType, unroll: 2, rolled }),
    ),
  ]),
  ...(["f16", "f32"] as const).map((cacheType) =>
    pagedDecodePortable({ heads: 14, keyValueHeads: 2, headSize, pageSize, cacheType }),
  ),
]);

const named = (kernels: readonly Kernel[]) => kernels.map((kernel) => [kernel.key, kernel] as const);

describe("attention kernels", () => {
  it.each(named(matrixKernels))("%s compiles", async (_, { code, bindings }) => {
    // Without a pipeline: the device that checks them has less workgroup memory than those with matrix units.
    const module = (await nullDevice()).createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    expect(messages.filter(({ type }) => type === "error")).toEqual([]);
    expect(bindings.filter((binding) => binding !== "uniform").length).toBeLessThanOrEqual(8);
  });

  it.each(named(teamKernels))("%s compiles", async (_, { code }) => {
    const module = (await nullDevice()).createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    expect(messages.filter(({ type }) => type === "error")).toEqual([]);
  });

  it.each(named([...decodeKernels, ...combineKernels, ...portableKernels]))(
    "%s compiles",
    async (_, kernel) => {
      expect(await faultsOf(kernel)).toEqual([]);
      expect(kernel.bindings.filter((binding) => binding !== "uniform").length).toBeLessThanOrEqual(8);
    },
  );

  it("for every device ask for no feature", () => {
    expect(portableKernels.flatMap(({ features }) => features)).toEqual([]);
  });

  it("have keys of their own", () => {
    const kernels = [
      ...matrixKernels,
      ...decodeKernels,
      ...teamKernels,
      ...combineKernels,
      ...portableKernels,
    ];
    expect(new Set(kernels.map(({ key }) => key)).size).toBe(kernels.length);
  });

  it("say what does not fit them", () => {
    const tiles = { subgroupRows: 16, subgroups: 4, keys: 64 } as const;
    expect(() => tileAttentionMatrix({ heads: 1, headSize: 96, together: true, tiles })).toThrow(RangeError);
    const shape = { heads: 1, keyValueHeads: 1, headSize: 64, pageSize, cacheType: "f16" } as const;
    expect(() => pagedDecode({ ...shape, lanes: 16, unroll: 1, threads: 64 })).toThrow(RangeError);
  });
});

describe("tiles of the matrix units", () => {
  it.each(sizes)("of heads of %i fit the workgroup memory of a GPU", (headSize) => {
    expect(flashTiles(headSize, large).length).toBeGreaterThan(0);
    for (const tiles of flashTiles(headSize, large))
      expect(flashBytes(tiles, headSize)).toBeLessThanOrEqual(49152);
    expect(flashTiles(headSize, { ...large, maxComputeWorkgroupStorageSize: 1024 })).toEqual([]);
    const few = flashTiles(headSize, { ...large, maxComputeInvocationsPerWorkgroup: 256 });
    for (const { subgroups } of few) expect(subgroups).toBeLessThanOrEqual(8);
  });
});

describe("splits of decoding", () => {
  it("fill the GPU and are none too short", () => {
    const shape = { keyValueHeads: 8 };
    expect(pagedDecodeSplits(shape, { rows: 1, longest: 5 })).toBe(1);
    const splits = pagedDecodeSplits(shape, { rows: 1, longest: 1856 });
    expect(splits * shape.keyValueHeads).toBeGreaterThan(132);
    expect(pagedDecodeSplits(shape, { rows: 1, longest: 1856, workgroups: 128 })).toBe(16);
    expect(pagedDecodeSplits(shape, { rows: 16, longest: 1856 })).toBe(3);
    expect(pagedDecodeSplits(shape, { rows: 1000, longest: 1856 })).toBe(1);
  });
});
