import type { LayerNorm, RmsNorm } from "../../../graph/operations.ts";
import { normKernel, normWorkgroups } from "../kernels/norm.wgsl.ts";
import { type Dispatch, type Lowering, strides } from "./dispatch.ts";
import { f32Output } from "./halves.ts";

export function lowerNorm(operation: LayerNorm | RmsNorm, on: Lowering): Dispatch[] {
  const { kind, input, weight, epsilon, output } = operation;
  // Software adapters pay for every invocation that waits at a barrier.
  const threads = on.device.isSoftware ? 16 : 256;
  const { place, after } = f32Output(output, on);
  const bias = kind === "layerNorm" ? [on.vector(operation.bias)] : [];
  return [
    {
      kernel: normKernel({ kind, columns: input.columns, epsilon, threads }),
      places: [on.place(input), on.vector(weight), ...bias, place],
      sizes: [input.rows, ...strides(input), ...strides(output)],
      workgroups: normWorkgroups(input.rows),
    },
    ...after,
  ];
}
