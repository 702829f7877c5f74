import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { float, reduction, sum, uniformOf, workgroupNumber } from "./wgsl.ts";

export interface NormOptions {
  readonly kind: "layerNorm" | "rmsNorm";
  /** D */
  readonly columns: number;
  readonly epsilon: number;
  /** Invocations for a row, a power of two. */
  readonly threads: number;
}

/**
 * LayerNorm or RMSNorm over each row, one workgroup a row: see `LayerNorm` and `RmsNorm`. The variance is that of the
 * differences from the mean, so a mean far from zero costs no digits.
 *
 * 0 input f32 · 1 weight f32 `[D]` · 2 bias f32 `[D]` (LayerNorm only) · output f32 · uniform.
 */
export function normKernel({ kind, columns, epsilon, threads }: NormOptions): Kernel {
  const layer = kind === "layerNorm";
  const output = layer ? 3 : 2;
  return {
    key: `${kind} ${columns} ${epsilon} ${threads}`,
    code: `
@group(0) @binding(0) var<storage, read_write> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
${layer ? "@group(0) @binding(2) var<storage, read> bias: array<f32>;" : ""}
@group(0) @binding(${output}) var<storage, read_write> result: array<f32>;
${uniformOf(["rows", "inputStride", "inputFirst", "outputStride", "outputFirst"], output + 1)}
const columns = ${columns}u;
${reduction("total", threads, sum)}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  // A workgroup beyond the last row works on that row again, and writes nothing: barriers must be met by all.
  let asked = ${workgroupNumber};
  let row = min(asked, sizes.rows - 1u);
  let read = row * sizes.inputStride + sizes.inputFirst;
  let write = row * sizes.outputStride + sizes.outputFirst;
  var own = 0.0;
  ${
    layer
      ? `for (var c = lane; c < columns; c += ${threads}u) { own += input[read + c]; }
  let mean = total(own, lane) / f32(columns);
  own = 0.0;
  // What rounding has left of the mean, when that is far from zero.
  for (var c = lane; c < columns; c += ${threads}u) { own += input[read + c] - mean; }
  let rest = total(own, lane) / f32(columns);
  own = 0.0;`
      : "const mean = 0.0;\n  const rest = 0.0;"
  }
  for (var c = lane; c < columns; c += ${threads}u) {
    let apart = input[read + c] - mean - rest;
    own += apart * apart;
  }
  let inverse = 1.0 / sqrt(total(own, lane) / f32(columns) + ${float(epsilon)});
  if (asked > row) { return; }
  for (var c = lane; c < columns; c += ${threads}u) {
    result[write + c] = (input[read + c] - mean - rest) * inverse * weight[c]${layer ? " + bias[c]" : ""};
  }
}`,
    bindings: ["write", "read", ...(layer ? ["read" as const] : []), "write", "uniform"],
    features: [],
  };
}

export function normWorkgroups(rows: number): Workgroups {
  return foldWorkgroups(rows);
}
