import type { Kernel } from "../kernel.ts";
import { range } from "./product.ts";

/** Workgroups of 256 invocations that keep a device busy. */
export const limitWorkgroups = 4096;
/** Products of sums that one invocation (or subgroup) makes in a dispatch: `sums` of them, so often. */
export const fmaSums = 8;
export const fmaSteps = 1024;
export const matrixSums = 8;
export const matrixSteps = 256;

/** Reads a whole buffer, and writes only what never happens. 0 values · 1 result · uniform { vectors }. */
export function readLimitKernel(): Kernel {
  return {
    key: "limit read",
    code: `struct Sizes { vectors: u32 }
@group(0) @binding(0) var<storage, read> values: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  const stride = ${limitWorkgroups * 256}u;
  var sum = vec4u();
  for (var i = id.x; i < sizes.vectors; i += stride * 4u) {
    ${range(4)
      .map((j) => `let v${j} = values[min(i + ${j}u * stride, sizes.vectors - 1u)];`)
      .join("\n    ")}
    sum += v0 ^ v1 ^ v2 ^ v3;
  }
  if (all(sum == vec4u(0x9e3779b9u))) { result[0] = id.x; }
}`,
    bindings: ["read", "write", "uniform"],
    features: [],
  };
}

/** f32 multiplications and additions in registers. 0 result · uniform { never } */
export function fmaLimitKernel(): Kernel {
  const sums = range(fmaSums);
  return {
    key: "limit fma",
    code: `struct Sizes { never: u32 }
@group(0) @binding(0) var<storage, read_write> result: array<vec4f>;
@group(0) @binding(1) var<uniform> sizes: Sizes;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = vec4f(f32(id.x & 7u), 1.0, 2.0, 3.0) * 1e-3;
  let y = vec4f(f32(id.x & 3u) * 1e-6 + 0.999);
  ${sums.map((i) => `var s${i} = x + ${i}.0;`).join("\n  ")}
  for (var k = 0u; k < ${fmaSteps}u; k++) {
    ${sums.map((i) => `s${i} = fma(s${i}, y, x);`).join("\n    ")}
  }
  let all = ${sums.map((i) => `s${i}`).join(" + ")};
  if (sizes.never != 0u) { result[id.x & 63u] = all; }
}`,
    bindings: ["write", "uniform"],
    features: [],
  };
}

/** Products of the matrix units: f16 operands, f32 sums, in registers. 0 result · uniform { never } */
export function matrixLimitKernel(): Kernel {
  const sums = range(matrixSums);
  return {
    key: "limit matrix",
    code: `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
struct Sizes { never: u32 }
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@group(0) @binding(1) var<uniform> sizes: Sizes;
var<workgroup> tile: array<f16, 1024>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  for (var i = lane; i < 1024u; i += 256u) { tile[i] = f16(i & 7u) * 0.01h; }
  workgroupBarrier();
  ${range(4)
    .map(
      (
        i,
      ) => `let a${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile, ${i * 64}u, 16u);
  let b${i} = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&tile, ${i * 64 + 32}u, 16u);`,
    )
    .join("\n  ")}
  ${sums.map((i) => `var s${i}: subgroup_matrix_result<f32, 16, 16>;`).join("\n  ")}
  for (var k = 0u; k < ${matrixSteps}u; k++) {
    ${sums.map((i) => `s${i} = subgroupMatrixMultiplyAccumulate(a${i % 4}, b${(i + Math.floor(i / 4)) % 4}, s${i});`).join("\n    ")}
  }
  if (sizes.never != 0u) {
    ${sums.map((i) => `subgroupMatrixStore<row_major>(&result, ${i * 256}u, s${i}, 16u);`).join("\n    ")}
  }
}`,
    bindings: ["write", "uniform"],
    features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix" as GPUFeatureName],
    subgroupSize: 32,
  };
}
