import type { TensorStore } from "../../checkpoint/tensor-store.ts";
import type { Weight } from "../../graph/tensor.ts";
import {
  fitsHalf,
  largestMagnitude,
  narrowWeights,
  narrowWeightsWorkgroups,
} from "./kernels/convert-weights.wgsl.ts";
import { quantise, quantiseWorkgroups, type SourceFormat } from "./kernels/quantise.wgsl.ts";
import { bindingAlignment, type DeviceMemory, usage } from "./memory.ts";
import type { KernelRunner } from "./once.ts";
import { rowsFitting, stagingBytes, type Uploader } from "./upload.ts";
import { type PlacedWeight, readPieces, type WebGpuWeights } from "./weights.ts";

const sourceFormats = { BF16: "bf16", F16: "f16", F32: "f32" } as const;

/** Fills a weight that is held in integers: its rows go to the device as they are, and are quantised there. */
export async function quantiseWeight(
  weight: Weight,
  placed: PlacedWeight,
  store: TensorStore,
  tools: { memory: DeviceMemory; uploader: Uploader; runner: KernelRunner },
  signal: AbortSignal | undefined,
): Promise<void> {
  if ("values" in weight.source) throw new Error(`${weight.name} is not of the checkpoint`);
  const from: SourceFormat = sourceFormats[store.tensors.get(weight.source.slices[0].tensor)!.dtype];
  const { columns, parts } = placed;
  const options = { columns, from, to: placed.format as "int8" | "int4" };
  const kernel = quantise(options);
  const rowBytes = columns * (from === "f32" ? 4 : 2);
  const chunk = tools.memory.allocate("chunk", stagingBytes, usage.storage | usage.copyTarget);
  try {
    for await (const { row, count, bytes } of readPieces(weight, store, parts, rowsFitting(rowBytes))) {
      signal?.throwIfAborted();
      const part = parts.findLast(({ firstRow }) => firstRow <= row)!;
      await tools.uploader.write(chunk, 0, bytes);
      await tools.runner.run(
        kernel,
        [{ buffer: chunk }, { buffer: part.values }, { buffer: part.scales! }],
        [count, columns, row - part.firstRow],
        quantiseWorkgroups(options, count),
      );
    }
  } finally {
    tools.memory.free(chunk);
  }
}

/**
 * Makes the bf16 weights of products f16, where they lie, but those with values too large for it, and those of the same
 * shape: a gate and its up are read side by side.
 */
export async function narrowToHalf(
  weights: WebGpuWeights,
  memory: DeviceMemory,
  runner: KernelRunner,
): Promise<void> {
  const wide = [...weights.entries()].filter(
    ([, { kind, format }]) => kind === "product" && format === "bf16",
  );
  if (wide.length === 0) return;
  const flags = usage.storage | usage.copySource;
  const largest = memory.allocate("largest", wide.length * bindingAlignment, flags);
  const words = (buffer: GPUBuffer) => [buffer.size / 4];
  try {
    for (const [i, [, { parts }]] of wide.entries()) {
      const result = { buffer: largest, offset: i * bindingAlignment, size: 4 };
      for (const { values } of parts) {
        const workgroups = narrowWeightsWorkgroups(values.size / 4);
        await runner.run(largestMagnitude(), [{ buffer: values }, result], words(values), workgroups);
      }
    }
    const found = new Uint32Array(await runner.read(largest));
    const shapeOf = ({ rows, columns }: PlacedWeight) => `${rows}x${columns}`;
    const tooLarge = wide.filter((_, i) => !fitsHalf(found[(i * bindingAlignment) / 4]));
    const kept = new Set(tooLarge.map(([, placed]) => shapeOf(placed)));
    for (const [, placed] of wide) {
      if (kept.has(shapeOf(placed))) continue;
      for (const { values } of placed.parts) {
        const workgroups = narrowWeightsWorkgroups(values.size / 4);
        await runner.run(narrowWeights(), [{ buffer: values }], words(values), workgroups);
      }
      placed.format = "f16";
    }
  } finally {
    memory.free(largest);
  }
}
