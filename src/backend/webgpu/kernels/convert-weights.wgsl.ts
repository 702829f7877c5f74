import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";

/**
 * A bf16 weight made f16 where it lies, after a first kernel has found that it fits: two values a u32, in any layout.
 * bf16 has fewer digits than f16 but a wider range: values over 65504 do not fit, those under 2⁻¹⁷ lose digits, no more
 * than 2⁻²⁵ each.
 *
 * Bindings of both: values `array<u32>`, [largest `atomic<u32>`], uniform { words }.
 */
const threads = 256;
const wordsEach = 4;

/** Raises `largest` to the largest magnitude among the values: the bits of a bf16, which order as integers do. */
export function largestMagnitude(): Kernel {
  return {
    key: "largest magnitude",
    code: `struct Sizes { words: u32 }
@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read_write> largest: atomic<u32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;
${body(`let word = values[i] & 0x7fff7fffu;
    mine = max(mine, max(word & 0xffffu, word >> 16u));`)}`.replace(
      "// end",
      "if (mine > 0u) { atomicMax(&largest, mine); }",
    ),
    bindings: ["read", "write", "uniform"],
    features: [],
  };
}

/** Whether values whose largest magnitude is this bf16 stay finite as f16. */
export function fitsHalf(largest: number): boolean {
  return largest <= 0x477f; // 65280, the largest bf16 below 65504
}

/** bf16 to f16, in place. */
export function narrowWeights(): Kernel {
  return {
    key: "narrow weights",
    code: `struct Sizes { words: u32 }
@group(0) @binding(0) var<storage, read_write> values: array<u32>;
@group(0) @binding(1) var<uniform> sizes: Sizes;
${body(`let word = values[i];
    values[i] = pack2x16float(bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u)));`)}`,
    bindings: ["write", "uniform"],
    features: [],
  };
}

/** Workgroups of both kernels for so many u32. */
export function narrowWeightsWorkgroups(words: number): Workgroups {
  return foldWorkgroups(Math.ceil(words / (threads * wordsEach)));
}

function body(each: string): string {
  return `@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32) {
  let first = (group.x + group.y * groups.x) * ${threads * wordsEach}u + thread;
  ${each.includes("mine") ? "var mine = 0u;" : ""}
  for (var part = 0u; part < ${wordsEach}u; part++) {
    let i = first + part * ${threads}u;
    if (i >= sizes.words) { break; }
    ${each}
  }
  // end
}`;
}
