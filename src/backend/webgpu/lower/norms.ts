import type { LayerNorm, RmsNorm } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { normKernel, normWorkgroups, wideNormThreads } from "../kernels/norm.wgsl.ts";
import { type Dispatch, type Lowering, status, statusWords, strides } from "./dispatch.ts";
import { f32Output } from "./halves.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { remembered } from "./remembered.ts";
import type { Variant } from "./variant.ts";

const kernelOf = remembered(normKernel);

export function lowerNorm(operation: LayerNorm | RmsNorm, on: Lowering): Dispatch[] {
  const { kind, input, output } = operation;
  if (on.device.isSoftware || on.portable) return plainNorm(operation, on);
  const bucket = powerOfTwo(input.rows);
  return on.choose({
    name: `${kind} ${input.columns}${on.isHalf(output) ? " to f16" : ""} rows ${bucket}`,
    output: on.place(output),
    isHalf: on.isHalf(output),
    variants: [...wideVariants(operation, on), { name: "plain", build: () => plainNorm(operation, on) }],
  });
}

/** One column at a time: what runs everywhere. */
export function plainNorm(operation: LayerNorm | RmsNorm, on: Lowering): Dispatch[] {
  const { kind, input, epsilon, output } = operation;
  // Software adapters pay for every invocation that waits at a barrier.
  const threads = on.device.isSoftware ? 16 : 256;
  const { place, after } = f32Output(output, on);
  const norm: Dispatch = {
    kernel: kernelOf({ kind, columns: input.columns, epsilon, threads }),
    places: [on.place(input), ...parameters(operation, on), place],
    sizes: [input.rows, ...strides(input), ...strides(output)],
    workgroups: normWorkgroups(input.rows),
  };
  return [norm, ...after];
}

/** Four columns at a time, summed in subgroups where there are any. */
function wideVariants(operation: LayerNorm | RmsNorm, on: Lowering): Variant[] {
  const { kind, input, epsilon, output } = operation;
  const { columns } = input;
  if (!isAligned(input) || !isAligned(output)) return [];
  const { features, info } = on.device;
  const lanes = features.has("subgroups") ? Math.min(info.subgroupMinSize, 32) : 1;
  const result = on.isHalf(output) ? "f16" : "f32";
  const overflow = result === "f16" ? [status(statusWords.overflow)] : [];
  return [...new Set([wideNormThreads(columns), wideNormThreads(columns, 32)])].map((threads) => ({
    name: `wide ${threads}`,
    build: () => [
      {
        kernel: kernelOf({ kind, columns, epsilon, threads, wide: true, lanes, result }),
        places: [on.place(input), ...parameters(operation, on), on.place(output), ...overflow],
        sizes: [input.rows, ...strides(input), ...strides(output)],
        workgroups: normWorkgroups(input.rows),
      },
    ],
  }));
}

function parameters(operation: LayerNorm | RmsNorm, on: Lowering) {
  const bias = operation.kind === "layerNorm" ? [on.vector(operation.bias)] : [];
  return [on.vector(operation.weight), ...bias];
}

function isAligned({ storage, columns, firstColumn }: Tensor): boolean {
  return storage.columns % 4 === 0 && firstColumn % 4 === 0 && columns % 4 === 0;
}
