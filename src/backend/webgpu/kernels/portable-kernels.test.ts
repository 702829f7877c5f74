import { describe, expect, it } from "vitest";
import { faultsOf } from "../../../../test/support/null-device.ts";
import { embedKernel } from "./embed.wgsl.ts";
import { moveRowsKernel } from "./move-rows.wgsl.ts";
import { normKernel } from "./norm.wgsl.ts";
import { padInput } from "./pad-input.wgsl.ts";
import { patchesKernel } from "./patches.wgsl.ts";
import { pickFinishKernel } from "./pick-tokens.wgsl.ts";
import { pickListsKernel } from "./pick-tokens-lists.wgsl.ts";
import { pickSlicesKernel } from "./pick-tokens-slices.wgsl.ts";
import { plainPagedAttention, plainTileAttention } from "./plain-attention.wgsl.ts";
import { plainProduct } from "./plain-product.wgsl.ts";
import { rotaryKernel } from "./rotary.wgsl.ts";

const formats = ["f16", "bf16", "f32", "int8", "int4"] as const;
const everything = { bias: true, activation: "gelu", scale: true, residual: true, table: true } as const;
const both = [true, false];

const kernels = [
  ...(["bf16", "f16", "f32"] as const).map((format) => embedKernel(48, format)),
  moveRowsKernel("gather"),
  moveRowsKernel("scatter"),
  patchesKernel({ tileSize: 28, patchSize: 14, mean: [0.5, 0.4, 0.3], deviation: [0.2, 0.2, 0.25] }),
  normKernel({ kind: "layerNorm", columns: 100, epsilon: 1e-6, threads: 64 }),
  normKernel({ kind: "rmsNorm", columns: 100, epsilon: 1e-6, threads: 256 }),
  ...both.flatMap((shared) =>
    (["f16", "f32"] as const).flatMap((cacheType) =>
      both.map((wide) => rotaryKernel({ heads: 4, keyValueHeads: 2, headSize: 16, cacheType, shared, wide })),
    ),
  ),
  ...formats.flatMap((format) => [
    plainProduct({ columns: 100, outputs: 33, format, epilogue: everything }),
    plainProduct({ columns: 64, outputs: 32, format, gated: true }),
  ]),
  ...both.map((together) => plainTileAttention({ heads: 2, headSize: 32, together, threads: 64 })),
  ...(["f16", "f32"] as const).map((cacheType) =>
    plainPagedAttention({ heads: 4, keyValueHeads: 2, headSize: 32, pageSize: 64, cacheType, threads: 64 }),
  ),
  padInput({ columns: 588, paddedColumns: 640 }),
  ...both.map((keys) => pickSlicesKernel({ keys })),
  ...both.flatMap((penalised) => both.map((suppressed) => pickListsKernel({ penalised, suppressed }))),
  ...both.map((lists) => pickFinishKernel({ lists })),
];

describe("portable kernels", () => {
  it.each(kernels.map((kernel) => [kernel.key, kernel] as const))("%s compiles", async (_, kernel) => {
    expect(await faultsOf(kernel)).toEqual([]);
    expect(kernel.features).toEqual([]);
    expect(kernel.bindings.filter((binding) => binding !== "uniform").length).toBeLessThanOrEqual(8);
  });

  it("have keys of their own", () => {
    expect(new Set(kernels.map(({ key }) => key)).size).toBe(kernels.length);
    expect(new Set(kernels.map(({ code }) => code)).size).toBe(kernels.length);
  });
});
