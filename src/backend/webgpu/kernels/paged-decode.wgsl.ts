import type { Kernel, Workgroups } from "../kernel.ts";
import { outputArray, type ResultType, writtenFunction } from "./half-output.ts";
import { type CacheType, pagedBindings } from "./paged-attention.ts";

/**
 * `PagedAttention` of graph/operations.ts for few new tokens a sequence: bound by reading keys and values once, so the
 * positions of a token are split over workgroups, and the heads that share a key-value head share each read of it
 * (split decoding, Dao et al. 2023). A workgroup takes one split of one token and one key-value head. `lanes`
 * invocations of a subgroup hold one row of the cache; each such group keeps its own running maximum over every
 * `groups`-th position, and the groups are merged at the end.
 *
 * Bindings: see `pagedBindings`, with `partial` `[N * heads * splits, headSize + 4]` f32: a split's weighted sum, its
 * maximum (of scores times log2(e)) and total. `pagedDecodeCombine` makes the output of it; with one split the output
 * is written at once and `partial` is not touched. An f16 output is only for one split: then `status` (set by an output
 * beyond f16) stands in the place of `partial`. Strides and firsts are multiples of 4.
 *
 * Limits: `lanes` is a power of two that no subgroup of the device is smaller than; `headSize` is a multiple of 8
 * times that (f16) or 4 (f32); `threads` is at most `pagedDecodeThreads` (in stock workgroup memory); at most `mostSplits` splits and 65535 new tokens.
 */
export interface PagedDecodeOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly pageSize: number;
  readonly cacheType: CacheType;
  /** Invocations that hold one row of the cache. */
  readonly lanes: number;
  /** Positions that a group of lanes reads at a time. */
  readonly unroll: number;
  readonly threads: number;
  /** Whether to read one step ahead, and its pages two, at twice the registers for keys and values; it does unless told. */
  readonly ahead?: boolean;
  /** Of the output; f32 unless told. "f16": one split only. */
  readonly result?: ResultType;
}

export const mostSplits = 128;

/** Bytes of workgroup memory to merge the groups in, and the invocations that this lets a workgroup have, at most 128. */
const mergeBytes = 15360;
export function pagedDecodeThreads({ lanes, headSize }: { lanes: number; headSize: number }): number {
  let threads = 128;
  while ((threads / lanes) * headSize * 4 > mergeBytes) threads /= 2;
  return threads;
}

const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

export function pagedDecode(options: PagedDecodeOptions): Kernel {
  const {
    heads,
    keyValueHeads,
    headSize,
    pageSize,
    cacheType,
    lanes,
    unroll,
    threads,
    ahead = false,
    result = "f32",
  } = options;
  const half = result === "f16";
  const sharing = heads / keyValueHeads;
  const groups = threads / lanes;
  const words = cacheType === "f16" ? 8 : 4; // Elements of one 16-byte read.
  const reads = headSize / lanes / words;
  if (!Number.isInteger(reads))
    throw new RangeError(`${lanes} lanes can not share rows of ${headSize} ${cacheType}`);
  const parts = words / 4;
  const pieces = reads * parts;
  const columns = headSize / 4;
  /** The quarter-row (vec4f) that piece j of a lane is. */
  const column = (j: number) =>
    `(${Math.floor(j / parts) * lanes * parts + (j % parts)}u + lane * ${parts}u)`;
  const unpacked = (array: string, j: number) => {
    const word = `${array}_${Math.floor(j / parts)}`;
    if (parts === 1) return word;
    const pair = j % 2 === 0 ? ["x", "y"] : ["z", "w"];
    return `vec4f(unpack2x16float(${word}.${pair[0]}), unpack2x16float(${word}.${pair[1]}))`;
  };
  const step = groups * unroll;
  const rowOf = (u: number, first: string) =>
    `slotOf(span.pages, min(${first} + group + ${u * groups}u, end - 1u)) * ${(keyValueHeads * headSize) / words}u + keyValueHead * ${headSize / words}u + lane`;
  const each = (line: (tensor: string, name: string, u: number, c: number) => string) =>
    lines(unroll, (u) =>
      ["keys", "values"]
        .map((tensor) => lines(reads, (c) => line(tensor, `${tensor}${u}_${c}`, u, c)))
        .join("\n"),
    );
  const read = (tensor: string, row: string, c: number) => `${tensor}[${row} + ${c * lanes}u]`;
  const before = ahead
    ? `${lines(unroll, (u) => `var row${u} = ${rowOf(u, "begin")};`)}
${each((tensor, name, u, c) => `var next_${name} = ${read(tensor, `row${u}`, c)};`)}
${lines(unroll, (u) => `row${u} = ${rowOf(u, `begin + ${step}u`)};`)}`
    : "";
  const take = ahead
    ? `${each((_, name) => `let ${name} = next_${name};`)}
  ${each((tensor, name, u, c) => `next_${name} = ${read(tensor, `row${u}`, c)};`)}
  ${lines(unroll, (u) => `row${u} = ${rowOf(u, `first + ${2 * step}u`)};`)}`
    : `${lines(unroll, (u) => `let row${u} = ${rowOf(u, "first")};`)}
  ${each((tensor, name, u, c) => `let ${name} = ${read(tensor, `row${u}`, c)};`)}`;
  // As many heads at a time as 15 KiB of workgroup memory hold.
  const headsAtOnce = Math.max(1, Math.min(sharing, Math.floor(mergeBytes / (groups * headSize * 4))));
  const rounds = Math.ceil(sharing / headsAtOnce);
  const { kinds, declarations } = pagedBindings(cacheType, { partial: !half, status: half, result });

  const attend = (h: number) => `{
  ${lines(unroll, (u) => `var s${u} = ${Array.from({ length: pieces }, (_, j) => `dot(q_${h}_${j}, key${u}_${j})`).join(" + ")};`)}
  ${lines(Math.log2(lanes), (step) => lines(unroll, (u) => `s${u} += subgroupShuffleXor(s${u}, ${1 << step}u);`))}
  ${lines(unroll, (u) => `s${u} = select(-1e30, s${u}, at + ${u * groups}u < end);`)}
  var top = largest_${h};
  ${lines(unroll, (u) => `top = max(top, s${u});`)}
  let shrink = exp2(largest_${h} - top);
  largest_${h} = top;
  ${lines(unroll, (u) => `s${u} = exp2(s${u} - top);`)}
  total_${h} = total_${h} * shrink + (${Array.from({ length: unroll }, (_, u) => `s${u}`).join(" + ")});
  ${lines(
    pieces,
    (j) =>
      `o_${h}_${j} = o_${h}_${j} * shrink + (${Array.from({ length: unroll }, (_, u) => `s${u} * value${u}_${j}`).join(" + ")});`,
  )}
}`;

  const merge = lines(rounds, (round) => {
    const first = round * headsAtOnce;
    const count = Math.min(headsAtOnce, sharing - first);
    return `{
${lines(
  count,
  (i) => `{
  let factor = exp2(largest_${first + i} - most(${first + i}u));
  ${lines(pieces, (j) => `sums[(${i}u * ${groups}u + group) * ${columns}u + ${column(j)}] = o_${first + i}_${j} * factor;`)}
}`,
)}
workgroupBarrier();
for (var i = thread; i < ${count * columns}u; i += ${threads}u) {
  let h = ${first}u + i / ${columns}u;
  let c = i % ${columns}u;
  var sum = vec4f(0.0);
  for (var g = 0u; g < ${groups}u; g++) { sum += sums[((h - ${first}u) * ${groups}u + g) * ${columns}u + c]; }
  let head = keyValueHead * ${sharing}u + h;
  ${half ? "{" : "if (sizes.splits == 1u) {"}
    output[token * (sizes.outputStride / 4u) + head * ${columns}u + c] = written(sum / whole(h));
  }${
    half
      ? ""
      : ` else {
    let at = ((token * ${heads}u + head) * sizes.splits + split) * ${columns + 1}u;
    partial[at + c] = sum;
    if (c == 0u) { partial[at + ${columns}u] = vec4f(most(h), whole(h), 0.0, 0.0); }
  }`
  }
}
${round + 1 < rounds ? "workgroupBarrier();" : ""}
}`;
  });

  return {
    key: `paged-decode ${JSON.stringify(options)}`,
    features: ["subgroups"],
    bindings: kinds,
    code: `enable subgroups;
// The loop over positions is the same for the whole workgroup, which the compiler can not see.
diagnostic(off, subgroup_uniformity);
${declarations}
var<workgroup> sums: array<vec4f, ${headsAtOnce * groups * columns}>;
/** The maximum and total of each group and head. */
var<workgroup> states: array<vec2f, ${groups * sharing}>;
${decodeFunctions(pageSize)}
${writtenFunction(result, "status[0]")}
fn most(h: u32) -> f32 {
  var top = states[h].x;
  for (var g = 1u; g < ${groups}u; g++) { top = max(top, states[g * ${sharing}u + h].x); }
  return top;
}
fn whole(h: u32) -> f32 {
  let top = most(h);
  var total = 0.0;
  for (var g = 0u; g < ${groups}u; g++) { total += states[g * ${sharing}u + h].y * exp2(states[g * ${sharing}u + h].x - top); }
  return total;
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
let split = workgroup.x;
let keyValueHead = workgroup.y;
let token = workgroup.z;
let span = spanOf(token, split);
let begin = span.begin;
let end = span.end;
let lane = thread % ${lanes}u;
let group = thread / ${lanes}u;
const factor = ${Math.LOG2E / Math.sqrt(headSize)};
let queryAt = (sizes.queryFirst + token * sizes.queryStride) / 4u + keyValueHead * ${sharing * columns}u;
${lines(sharing, (h) =>
  lines(
    pieces,
    (j) => `let q_${h}_${j} = query[queryAt + ${h * columns}u + ${column(j)}] * factor;
var o_${h}_${j} = vec4f(0.0);`,
  ),
)}
${lines(sharing, (h) => `var largest_${h} = -1e29;\nvar total_${h} = 0.0;`)}
${before}
for (var first = begin; first < end; first += ${step}u) {
  let at = first + group;
  ${take}
  ${lines(unroll, (u) => lines(pieces, (j) => `let key${u}_${j} = ${unpacked(`keys${u}`, j)};\nlet value${u}_${j} = ${unpacked(`values${u}`, j)};`))}
  ${lines(sharing, attend)}
}
if (lane == 0u) {
  ${lines(sharing, (h) => `states[group * ${sharing}u + ${h}u] = vec2f(largest_${h}, total_${h});`)}
}
workgroupBarrier();
${merge}
}
`,
  };
}

/** `spanOf`, the positions of one split of a token, and `slotOf`. */
export const decodeFunctions = (pageSize: number) => `struct Span { begin: u32, end: u32, pages: u32 }
fn slotOf(first: u32, position: u32) -> u32 {
  return pages[first + position / ${pageSize}u] * ${pageSize}u + position % ${pageSize}u;
}
fn spanOf(token: u32, split: u32) -> Span {
  var b = min(token, sizes.sequences - 1u);
  // Where every sequence has one new token, it is the token's own number.
  if (starts[b] != token || starts[b + 1u] != token + 1u) {
    b = 0u;
    while (starts[b + 1u] <= token) { b++; }
  }
  let visible = lengths[b] - (starts[b + 1u] - 1u - token);
  let each = (visible + sizes.splits - 1u) / sizes.splits;
  let begin = min(split * each, visible);
  return Span(begin, min(begin + each, visible), b * sizes.pagesPerSequence);
}`;

/**
 * Into how many parts to split the positions so that the workgroups fill a large GPU (on one NVIDIA H200 three for each
 * multiprocessor were best), none shorter than 64 positions. `longest`: the longest sequence.
 */
export function pagedDecodeSplits(
  { keyValueHeads }: { keyValueHeads: number },
  { rows, longest }: { rows: number; longest: number },
): number {
  const wanted = Math.ceil(384 / (rows * keyValueHeads));
  return Math.max(1, Math.min(wanted, Math.ceil(longest / 64), mostSplits));
}

export function pagedDecodeWorkgroups(
  { keyValueHeads }: { keyValueHeads: number },
  { rows, splits }: { rows: number; splits: number },
): Workgroups {
  return [splits, keyValueHeads, rows];
}

/** Bytes of `partial`. */
export function pagedDecodePartialBytes(
  { heads, headSize }: { heads: number; headSize: number },
  { rows, splits }: { rows: number; splits: number },
): number {
  return splits === 1 ? 16 : rows * heads * splits * (headSize + 4) * 4;
}

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
  const full = pagedBindings("f32");
  return {
    key: `paged-decode-combine ${heads} ${headSize} ${result}`,
    features: [],
    bindings: ["write", "write", ...(half ? ["write" as const] : []), "uniform"],
    code: `${full.declarations.split("\n")[0]}
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
