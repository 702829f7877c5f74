import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { uniformOf, workgroupNumber } from "./wgsl.ts";

/**
 * Rows from one place to another. "gather": piece p of output row m is input row `rows[m][p]`, `columns` wide.
 * "scatter": output row `rows[m]` is input row m (one piece a row).
 *
 * 0 input f32 · 1 rows u32 `[M, pieces]` · 2 output f32 · uniform.
 */
export function moveRowsKernel(direction: "gather" | "scatter"): Kernel {
  const [from, to] = direction === "gather" ? ["other", "m"] : ["m", "other"];
  return {
    key: `${direction} rows`,
    code: `
@group(0) @binding(0) var<storage, read_write> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
${uniformOf(
  [
    "count",
    "pieces",
    "columns",
    "inputStride",
    "inputFirst",
    "rowsStride",
    "rowsFirst",
    "outputStride",
    "outputFirst",
  ],
  3,
)}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let item = ${workgroupNumber};
  if (item >= sizes.count * sizes.pieces) { return; }
  let m = item / sizes.pieces;
  let piece = item % sizes.pieces;
  let other = rows[m * sizes.rowsStride + sizes.rowsFirst + piece];
  let read = ${from} * sizes.inputStride + sizes.inputFirst;
  let write = ${to} * sizes.outputStride + sizes.outputFirst + piece * sizes.columns;
  for (var c = lane; c < sizes.columns; c += 256u) { result[write + c] = input[read + c]; }
}`,
    bindings: ["write", "write", "write", "uniform"],
    features: [],
  };
}

export function moveRowsWorkgroups(count: number, pieces: number): Workgroups {
  return foldWorkgroups(count * pieces);
}
