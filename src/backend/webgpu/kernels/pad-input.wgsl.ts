import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";

const threads = 256;

/**
 * Rows of f32 to f16, two a u32, with zeros behind them: what `convertInput` does, for numbers of columns that are no
 * multiple of 8. Then products go on as if K were `paddedColumns`, as the weights are padded with zeros, too.
 *
 * 0 input f32 `[N, columns]` · 1 output f16 `[N, paddedColumns]` · 2 status, set to 1 by a value that does not fit f16 ·
 * uniform { rows, inputStride, inputFirst }.
 */
export function padInput({ columns, paddedColumns }: { columns: number; paddedColumns: number }): Kernel {
  return {
    key: `pad input ${columns} to ${paddedColumns}`,
    code: `struct Sizes { rows: u32, inputStride: u32, inputFirst: u32 }
@group(0) @binding(0) var<storage, read_write> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;
@group(0) @binding(2) var<storage, read_write> status: atomic<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;
fn valueAt(row: u32, column: u32) -> f32 {
  if (column >= ${columns}u) { return 0.0; }
  let value = input[sizes.inputFirst + row * sizes.inputStride + column];
  if (abs(value) > 65504.0) { atomicStore(&status, 1u); }
  return value;
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.x + group.y * groups.x) * ${threads}u + thread;
  let row = item / ${paddedColumns / 2}u;
  let column = item % ${paddedColumns / 2}u * 2u;
  if (row >= sizes.rows) { return; }
  output[item] = pack2x16float(vec2f(valueAt(row, column), valueAt(row, column + 1u)));
}`,
    bindings: ["write", "write", "write", "uniform"],
    features: [],
  };
}

export function padInputWorkgroups(rows: number, paddedColumns: number): Workgroups {
  return foldWorkgroups(Math.ceil((rows * paddedColumns) / 2 / threads));
}
