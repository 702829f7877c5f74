import type { Kernel, Workgroups } from "../kernel.ts";
import { outputArray, writtenFunction } from "./half-output.ts";
import { sizesStruct } from "./paged-attention.ts";
import type { PagedDecodeOptions } from "./paged-decode.wgsl.ts";
import { lines } from "./paged-decode-rows.ts";
import { mostSplits } from "./paged-decode-splits.ts";

/**
 * Merges the splits of `paged-decode`. Bindings: partial, output, status (f16 only) and the same uniform. One workgroup a head of a token:
 * each of its invocations sums four columns over every eighth split. The first reads are under way before the weights
 * of the splits are known: a kernel this short is all waiting.
 */
export function pagedDecodeCombine({
  heads,
  headSize,
  result = "f32",
}: Pick<PagedDecodeOptions, "heads" | "headSize" | "result">): Kernel {
  const half = result === "f16";
  const columns = headSize / 4;
  const groups = Math.max(1, Math.min(8, Math.floor(256 / columns)));
  const threads = groups * columns;
  const early = 4;
  return {
    key: `paged-decode-combine ${heads} ${headSize} ${result}`,
    features: [],
    bindings: ["write", "write", ...(half ? ["write" as const] : []), "uniform"],
    code: `${sizesStruct()}
@group(0) @binding(0) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> output: ${outputArray(result)};
${half ? "@group(0) @binding(2) var<storage, read_write> status: array<atomic<u32>>;" : ""}
@group(0) @binding(${half ? 3 : 2}) var<uniform> sizes: Sizes;
${writtenFunction(result, "status[0]")}
var<workgroup> states: array<vec2f, ${mostSplits}>;
var<workgroup> sums: array<vec4f, ${threads}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
let first = (workgroup.y * ${heads}u + workgroup.x) * sizes.splits;
let column = thread % ${columns}u;
let group = thread / ${columns}u;
let last = sizes.splits - 1u;
${lines(early, (i) => `let early${i} = partial[(first + min(group + ${i * groups}u, last)) * ${columns + 1}u + column];`)}
for (var s = thread; s < sizes.splits; s += ${threads}u) {
  states[s] = partial[(first + s) * ${columns + 1}u + ${columns}u].xy;
}
workgroupBarrier();
var top = states[0].x;
for (var s = 1u; s < sizes.splits; s++) { top = max(top, states[s].x); }
var total = 0.0;
for (var s = 0u; s < sizes.splits; s++) { total += states[s].y * exp2(states[s].x - top); }
var sum = vec4f(0.0);
${lines(
  early,
  (i) =>
    `if (group + ${i * groups}u <= last) { sum += early${i} * exp2(states[group + ${i * groups}u].x - top); }`,
)}
for (var s = group + ${early * groups}u; s <= last; s += ${groups}u) {
  sum += partial[(first + s) * ${columns + 1}u + column] * exp2(states[s].x - top);
}
sums[thread] = sum;
workgroupBarrier();
if (thread < ${columns}u) {
  for (var g = 1u; g < ${groups}u; g++) { sum += sums[g * ${columns}u + thread]; }
  output[workgroup.y * (sizes.outputStride / 4u) + workgroup.x * ${columns}u + thread] = written(sum / total);
}
}
`,
  };
}

export function pagedDecodeCombineWorkgroups(
  { heads }: { heads: number },
  { rows }: { rows: number },
): Workgroups {
  return [heads, rows, 1];
}
