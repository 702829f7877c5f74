import type { Kernel } from "../kernel.ts";
import { type CacheType, pagedBindings } from "./paged-attention.ts";
import { lines } from "./wgsl.ts";

/**
 * `paged-decode` for every device: the same bindings, splits, workgroups and partial sums (so `pagedDecodeCombine` goes
 * with both), no subgroups, at most 16 KiB of workgroup memory. Of 64 positions at a time, each invocation scores one
 * for all heads that share its key; then each takes a quarter (vec4f) of the values' columns over every `groups`-th of
 * the positions.
 *
 * Limits: head sizes of at most 256, multiples of 4 (f32) or 8 (f16).
 */
export interface PagedDecodePortableOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly pageSize: number;
  readonly cacheType: CacheType;
}

const threads = 64;

export function pagedDecodePortable(options: PagedDecodePortableOptions): Kernel {
  const { heads, keyValueHeads, headSize, pageSize, cacheType } = options;
  const sharing = heads / keyValueHeads;
  const columns = headSize / 4;
  const groups = Math.max(1, Math.floor(threads / columns));
  const { kinds, declarations } = pagedBindings(cacheType, { partial: true });
  const half = cacheType === "f16";
  const rowWords = (keyValueHeads * headSize) / (half ? 8 : 4);
  const headWords = headSize / (half ? 8 : 4);
  const place = (position: string) =>
    `slotOf(span.pages, ${position}) * ${rowWords}u + keyValueHead * ${headWords}u`;
  /** The columns of a 16-byte word of the keys, against those of head h. */
  const products = (h: number) =>
    half
      ? `s${h} += dot(queries[${h * columns}u + w * 2u], low) + dot(queries[${h * columns}u + w * 2u + 1u], high);`
      : `s${h} += dot(queries[${h * columns}u + w], key);`;
  return {
    key: `paged-decode-portable ${JSON.stringify(options)}`,
    features: [],
    bindings: kinds,
    code: `${declarations}
var<workgroup> queries: array<vec4f, ${sharing * columns}>;
var<workgroup> scores: array<f32, ${sharing * threads}>;
var<workgroup> sums: array<vec4f, ${threads}>;
var<workgroup> totals: array<f32, ${sharing * threads}>;
var<workgroup> shared_span: Span;
${decodeFunctions(pageSize)}
${
  half
    ? `fn unpacked(word: vec2u) -> vec4f { return vec4f(unpack2x16float(word.x), unpack2x16float(word.y)); }
fn quarterOf(word: vec4u, i: u32) -> vec4f { return unpacked(select(word.xy, word.zw, (i & 1u) == 1u)); }`
    : ""
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
let split = workgroup.x;
let keyValueHead = workgroup.y;
let token = workgroup.z;
if (thread == 0u) { shared_span = spanOf(token, split); }
let span = workgroupUniformLoad(&shared_span);
let queryAt = (sizes.queryFirst + token * sizes.queryStride) / 4u + keyValueHead * ${sharing * columns}u;
for (var i = thread; i < ${sharing * columns}u; i += ${threads}u) {
  queries[i] = query[queryAt + i] * ${Math.fround(Math.LOG2E / Math.sqrt(headSize))}f;
}
let column = thread % ${columns}u;
let group = thread / ${columns}u;
// Bounds that compilers of software adapters can not unroll.
let words = ${headWords}u + (span.end >> 31u);
${lines(sharing, (h) => `var o${h} = vec4f(0.0);\nvar largest${h} = -1e29;\nvar total${h} = 0.0;`)}
workgroupBarrier();
for (var first = span.begin; first < span.end; first += ${threads}u) {
  let here = min(${threads}u, span.end - first);
  ${lines(sharing, (h) => `var s${h} = -1e30;`)}
  if (thread < here) {
    let at = ${place("first + thread")};
    ${lines(sharing, (h) => `s${h} = 0.0;`)}
    for (var w = 0u; w < words; w++) {
      ${half ? "let word = keys[at + w];\n      let low = unpacked(word.xy);\n      let high = unpacked(word.zw);" : "let key = keys[at + w];"}
      ${lines(sharing, products)}
    }
  }
  ${lines(sharing, (h) => `scores[${h * threads}u + thread] = s${h};`)}
  workgroupBarrier();
  ${lines(sharing, (h) => `var most${h} = largest${h};`)}
  for (var j = 0u; j < here; j++) {
    ${lines(sharing, (h) => `most${h} = max(most${h}, scores[${h * threads}u + j]);`)}
  }
  workgroupBarrier();
  ${lines(
    sharing,
    (h) => `let kept${h} = exp2(largest${h} - most${h});
  largest${h} = most${h};
  o${h} *= kept${h};
  s${h} = exp2(s${h} - most${h});
  total${h} = total${h} * kept${h} + s${h};
  scores[${h * threads}u + thread] = s${h};`,
  )}
  workgroupBarrier();
  if (group < ${groups}u) {
    for (var j = group; j < here; j += ${groups}u) {
      let at = ${place("first + j")};
      let value = ${half ? "quarterOf(values[at + column / 2u], column)" : "values[at + column]"};
      ${lines(sharing, (h) => `o${h} += scores[${h * threads}u + j] * value;`)}
    }
  }
  workgroupBarrier();
}
${lines(sharing, (h) => `totals[${h * threads}u + thread] = total${h};`)}
${lines(
  sharing,
  (h) => `sums[thread] = o${h};
workgroupBarrier();
if (thread < ${columns}u) {
  var sum = sums[thread];
  for (var g = 1u; g < ${groups}u; g++) { sum += sums[g * ${columns}u + thread]; }
  var total = 0.0;
  for (var i = 0u; i < ${threads}u; i++) { total += totals[${h * threads}u + i]; }
  let head = keyValueHead * ${sharing}u + ${h}u;
  if (sizes.splits == 1u) {
    output[token * (sizes.outputStride / 4u) + head * ${columns}u + thread] = sum / total;
  } else {
    let at = ((token * ${heads}u + head) * sizes.splits + split) * ${columns + 1}u;
    partial[at + thread] = sum;
    if (thread == 0u) { partial[at + ${columns}u] = vec4f(largest${h}, total, 0.0, 0.0); }
  }
}
workgroupBarrier();`,
)}
}
`,
  };
}

/** `spanOf`, the positions of one split of a token, and `slotOf`. */
const decodeFunctions = (pageSize: number) => `struct Span { begin: u32, end: u32, pages: u32 }
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
