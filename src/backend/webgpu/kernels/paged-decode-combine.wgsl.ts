import type { Kernel, Workgroups } from "../kernel.ts";
import { outputArray, writtenFunction } from "./half-output.ts";
import { sizesStruct } from "./paged-attention.ts";
import type { PagedDecodeOptions } from "./paged-decode.wgsl.ts";
import { lines } from "./wgsl.ts";

/**
 * Merges the splits of `paged-decode`. Bindings: partial, output, status (f16 only) and the same uniform. One workgroup a head of a token:
 * each of its invocations sums four columns over every fourth split. A kernel this short is all waiting: so no read
 * waits for another, and each subgroup works out the weights of the splits by itself; without subgroups each invocation.
 */
export function pagedDecodeCombine({
  heads,
  headSize,
  result = "f32",
  subgroups = true,
}: Pick<PagedDecodeOptions, "heads" | "headSize" | "result"> & { readonly subgroups?: boolean }): Kernel {
  const half = result === "f16";
  const columns = headSize / 4;
  const groups = Math.max(1, Math.min(4, Math.floor(256 / columns)));
  const threads = groups * columns;
  const early = 8;
  const state = (split: string) => `partial[(first + ${split}) * ${columns + 1}u + ${columns}u].xy`;
  const byInvocations = `var top = -1e30;
for (var s = 0u; s <= last; s++) { top = max(top, ${state("s")}.x); }
var total = 0.0;
for (var s = 0u; s <= last; s++) { let each = ${state("s")}; total += each.y * exp2(each.x - top); }`;
  const bySubgroups = `// The last subgroup may not be full.
let size = min(full, ${threads}u - (thread - lane));
let near = ${state("min(lane, last)")};
let far = ${state("min(lane + size, last)")};
var top = max(near.x, far.x);
for (var s = lane + 2u * size; s <= last; s += size) { top = max(top, ${state("s")}.x); }
top = subgroupMax(top);
var total = select(0.0, near.y * exp2(near.x - top), lane <= last) + select(0.0, far.y * exp2(far.x - top), lane + size <= last);
for (var s = lane + 2u * size; s <= last; s += size) { let each = ${state("s")}; total += each.y * exp2(each.x - top); }
total = subgroupAdd(total);`;
  return {
    key: `paged-decode-combine ${heads} ${headSize} ${result}${subgroups ? "" : " without subgroups"}`,
    features: subgroups ? ["subgroups"] : [],
    bindings: ["write", "write", ...(half ? ["write" as const] : []), "uniform"],
    code: `${
      subgroups
        ? `enable subgroups;
// The number of splits is the same for all, which the compiler can not see.
diagnostic(off, subgroup_uniformity);`
        : ""
    }
${sizesStruct()}
@group(0) @binding(0) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> output: ${outputArray(result)};
${half ? "@group(0) @binding(2) var<storage, read_write> status: array<atomic<u32>>;" : ""}
@group(0) @binding(${half ? 3 : 2}) var<uniform> sizes: Sizes;
${writtenFunction(result, "status[0]")}
var<workgroup> sums: array<vec4f, ${threads}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32${
      subgroups ? ", @builtin(subgroup_size) full: u32, @builtin(subgroup_invocation_id) lane: u32" : ""
    }) {
let first = (workgroup.y * ${heads}u + workgroup.x) * sizes.splits;
let column = thread % ${columns}u;
let group = thread / ${columns}u;
let last = sizes.splits - 1u;
${lines(
  early,
  (i) => `let at${i} = (first + min(group + ${i * groups}u, last)) * ${columns + 1}u;
let early${i} = partial[at${i} + column];
let largest${i} = partial[at${i} + ${columns}u].x;`,
)}
${subgroups ? bySubgroups : byInvocations}
var sum = vec4f(0.0);
${lines(early, (i) => `if (group + ${i * groups}u <= last) { sum += early${i} * exp2(largest${i} - top); }`)}
for (var s = group + ${early * groups}u; s <= last; s += ${groups}u) {
  let at = (first + s) * ${columns + 1}u;
  sum += partial[at + column] * exp2(partial[at + ${columns}u].x - top);
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
