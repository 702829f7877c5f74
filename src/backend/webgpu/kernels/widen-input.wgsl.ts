import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";

const threads = 256;

/**
 * Rows of f16 to f32: the way back from `convertInput`, for kernels that know only f32. Columns must be a multiple of 8.
 *
 * 0 input f16 `[N, K]` · 1 output f32 `[N, K]` · uniform { rows }.
 */
export function widenInput(columns: number): Kernel {
  return {
    key: `widen input ${columns}`,
    code: `struct Sizes { rows: u32 }
@group(0) @binding(0) var<storage, read_write> input: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4f>;
@group(0) @binding(2) var<uniform> sizes: Sizes;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32) {
  let item = (group.x + group.y * groups.x) * ${threads}u + thread;
  if (item >= sizes.rows * ${columns / 4}u) { return; }
  output[item] = vec4f(unpack2x16float(input[item].x), unpack2x16float(input[item].y));
}`,
    bindings: ["write", "write", "uniform"],
    features: [],
  };
}

export function widenInputWorkgroups(rows: number, columns: number): Workgroups {
  return foldWorkgroups(Math.ceil((rows * columns) / 4 / threads));
}
