import type { Rows } from "./paged-decode-rows.ts";
import { lines } from "./wgsl.ts";

/** Bytes of workgroup memory to merge in, which leaves room for the rest in 16 KiB. */
const mergeBytes = 15360;

export interface MergeOptions {
  readonly headSize: number;
  /** Invocations that hold one row, and those whose rows are added up by shuffles. */
  readonly lanes: number;
  readonly width: number;
  readonly threads: number;
  /** Heads of one workgroup. */
  readonly together: number;
  /** Whether the output is f16, so that there is but one split. */
  readonly half: boolean;
  readonly heads: number;
}

/** As many heads at a time as `mergeBytes` hold, but one at least. */
function headsAtOnce({ headSize, width, threads, together }: Omit<MergeOptions, "half" | "heads">): number {
  const bytes = (threads / width) * headSize * 4;
  return Math.max(1, Math.min(together, Math.floor(mergeBytes / bytes)));
}

/** Bytes of workgroup memory that merging takes. */
export function mergedBytes(options: Omit<MergeOptions, "half" | "heads">): number {
  const { headSize, width, threads, together } = options;
  const blocks = threads / width;
  return blocks * (headsAtOnce(options) * headSize * 4 + together * 8);
}

/** What `mergeText` needs outside of functions. */
export function mergeDeclarations(options: MergeOptions): string {
  const { headSize, width, threads, together } = options;
  const blocks = threads / width;
  return `var<workgroup> sums: array<vec4f, ${(headsAtOnce(options) * blocks * headSize) / 4}>;
/** The maximum and total of each block of ${width} invocations and each head. */
var<workgroup> states: array<vec2f, ${blocks * together}>;
fn most(h: u32) -> f32 {
  var top = states[h].x;
  for (var b = 1u; b < ${blocks}u; b++) { top = max(top, states[b * ${together}u + h].x); }
  return top;
}
fn whole(h: u32) -> f32 {
  let top = most(h);
  var total = 0.0;
  for (var b = 0u; b < ${blocks}u; b++) { total += states[b * ${together}u + h].y * exp2(states[b * ${together}u + h].x - top); }
  return total;
}`;
}

/** Puts quarter `c` of head `h`, whose weighted `sum`, maximum and total are known, into the output or this split's part. */
export function mergedText(
  { half, heads }: Pick<MergeOptions, "half" | "heads">,
  columns: number,
  { most, whole }: { readonly most: string; readonly whole: string },
): string {
  return `let head = firstHead + h;
  ${half ? "{" : "if (sizes.splits == 1u) {"}
    output[token * (sizes.outputStride / 4u) + head * ${columns}u + c] = written(sum / ${whole});
  }${
    half
      ? ""
      : ` else {
    let at = ((token * ${heads}u + head) * sizes.splits + split) * ${columns + 1}u;
    partial[at + c] = sum;
    if (c == 0u) { partial[at + ${columns}u] = vec4f(${most}, ${whole}, 0.0, 0.0); }
  }`
  }`;
}

/** Adds up what all groups of a workgroup have: `largest_H`, `total_H` and `o_H_J`; writes the output, or this split's part. */
export function mergeText(options: MergeOptions, { pieces, columns, column }: Rows): string {
  const { lanes, width, threads, together } = options;
  const blocks = threads / width;
  const atOnce = headsAtOnce(options);
  const rounds = Math.ceil(together / atOnce);
  const shuffled = lines(Math.log2(width / lanes), (step) =>
    lines(
      together,
      (h) => `{
  let top = max(largest_${h}, subgroupShuffleXor(largest_${h}, ${lanes << step}u));
  let shrink = exp2(largest_${h} - top);
  largest_${h} = top;
  total_${h} *= shrink;
  total_${h} += subgroupShuffleXor(total_${h}, ${lanes << step}u);
  ${lines(
    pieces,
    (j) => `o_${h}_${j} *= shrink;
  o_${h}_${j} += subgroupShuffleXor(o_${h}_${j}, ${lanes << step}u);`,
  )}
}`,
    ),
  );
  const round = (first: number, count: number) => `{
if (thread % ${width}u < ${lanes}u) {
${lines(
  count,
  (i) => `{
  let shrink = exp2(largest_${first + i} - most(${first + i}u));
  ${lines(pieces, (j) => `sums[(${i}u * ${blocks}u + block) * ${columns}u + ${column(j)}] = o_${first + i}_${j} * shrink;`)}
}`,
)}
}
workgroupBarrier();
for (var i = thread; i < ${count * columns}u; i += ${threads}u) {
  let h = ${first}u + i / ${columns}u;
  let c = i % ${columns}u;
  var sum = vec4f(0.0);
  for (var b = 0u; b < ${blocks}u; b++) { sum += sums[((h - ${first}u) * ${blocks}u + b) * ${columns}u + c]; }
  ${mergedText(options, columns, { most: "most(h)", whole: "whole(h)" })}
}
}`;
  return `${shuffled}
let block = thread / ${width}u;
if (thread % ${width}u == 0u) {
  ${lines(together, (h) => `states[block * ${together}u + ${h}u] = vec2f(largest_${h}, total_${h});`)}
}
workgroupBarrier();
${Array.from({ length: rounds }, (_, r) => round(r * atOnce, Math.min(atOnce, together - r * atOnce))).join("\nworkgroupBarrier();\n")}`;
}
