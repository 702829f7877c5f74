import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";

/**
 * Rows of f32 to f16, two a u32, for products that read them many times (`matrixGemm` with `input: "f16"`). Columns
 * must be a multiple of 8, as must the output's stride; the input's first and stride multiples of 4.
 *
 * Bindings: input f32 `[N, K]`, output f16 `[N, K]`, status, uniform { rows, inputStride, inputFirst, outputStride }.
 * `status` is set to 1 when a value does not fit f16.
 */
const threads = 256;

export function convertInput(columns: number): Kernel {
  const perRow = columns / 8;
  return {
    key: `convert input ${columns}`,
    code: `struct Sizes { rows: u32, inputStride: u32, inputFirst: u32, outputStride: u32 }
@group(0) @binding(0) var<storage, read_write> input: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> status: atomic<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32) {
  let item = (group.x + group.y * groups.x) * ${threads}u + thread;
  let row = item / ${perRow}u;
  let column = item % ${perRow}u;
  if (row >= sizes.rows) { return; }
  let at = (sizes.inputFirst + row * sizes.inputStride) / 4u + column * 2u;
  let a = input[at];
  let b = input[at + 1u];
  let most = max(abs(a), abs(b));
  if (any(most > vec4f(65504.0))) { atomicStore(&status, 1u); }
  output[row * (sizes.outputStride / 8u) + column] =
    vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}`,
    bindings: ["write", "write", "write", "uniform"],
    features: [],
  };
}

export function convertInputWorkgroups(rows: number, columns: number): Workgroups {
  return foldWorkgroups(Math.ceil((rows * columns) / 8 / threads));
}
