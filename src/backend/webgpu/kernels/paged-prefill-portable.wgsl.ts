import type { Kernel, Workgroups } from "../kernel.ts";
import { type CacheType, pagedBindings } from "./paged-attention.ts";
import { portableFlash, portableHalves, portableThreads } from "./portable-flash.ts";

/**
 * Causal attention over pages for every device: `PagedAttention` of graph/operations.ts, f32 arithmetic, for any
 * numbers of new tokens and any context before them. The heads that share a key-value head are rows side by side, so
 * that they meet at the same keys: row r of a key-value head is token `r / sharing`, head `r % sharing`.
 *
 * Bindings: see `pagedBindings`; strides and firsts are multiples of 4, head sizes of 4 (f32) or 8 (f16).
 */
export interface PagedPrefillPortableOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly pageSize: number;
  readonly cacheType: CacheType;
  /** Keys at a time. */
  readonly unroll: number;
  /** For software adapters: see `portableFlash`. */
  readonly rolled: boolean;
}

export function pagedPrefillPortable(options: PagedPrefillPortableOptions): Kernel {
  const { heads, keyValueHeads, headSize, pageSize, cacheType, unroll, rolled } = options;
  const sharing = heads / keyValueHeads;
  const halves = portableHalves(headSize);
  const quarters = headSize / 4;
  const { kinds, declarations } = pagedBindings(cacheType);
  const cached = (tensor: string) => (place: string, i: string) =>
    cacheType === "f32" ? `${tensor}[${place} + ${i}]` : `unpacked(${tensor}[(${place} + ${i}) / 2u], ${i})`;
  return {
    key: `paged-prefill-portable ${JSON.stringify(options)}`,
    features: [],
    bindings: kinds,
    code: `${declarations}
/** The even or odd half of eight. */
fn unpacked(eight: vec4u, i: u32) -> vec4f {
  let four = select(eight.xy, eight.zw, (i & 1u) == 1u);
  return vec4f(unpack2x16float(four.x), unpack2x16float(four.y));
}
fn slotOf(first: u32, position: u32) -> u32 {
  return pages[first + position / ${pageSize}u] * ${pageSize}u + position % ${pageSize}u;
}
@compute @workgroup_size(${portableThreads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
let item = workgroup.y * ${portableThreads}u + thread;
let row = item / ${halves}u;
let half = item % ${halves}u;
${portableFlash({
  headSize,
  unroll,
  rolled,
  begin: `let token = row / ${sharing}u;
if (token >= sizes.rows) { return; }
var b = 0u;
while (starts[b + 1u] <= token) { b++; }
let count = lengths[b] - (starts[b + 1u] - 1u - token);
let table = b * sizes.pagesPerSequence;
let keyValueHead = workgroup.x * ${quarters}u;
let head = (workgroup.x * ${sharing}u + row % ${sharing}u) * ${quarters}u;
let origin = (sizes.queryFirst + token * sizes.queryStride) / 4u + head;
let to = token * (sizes.outputStride / 4u) + head;`,
  queryAt: (i) => `query[origin + ${i}]`,
  place: (position) => `slotOf(table, ${position}) * ${keyValueHeads * quarters}u + keyValueHead`,
  keyAt: cached("keys"),
  valueAt: cached("values"),
  store: (i, value) => `output[to + ${i}] = ${value};`,
})}
}
`,
  };
}

export function pagedPrefillPortableWorkgroups(
  { heads, keyValueHeads, headSize }: PagedPrefillPortableOptions,
  { rows }: { rows: number },
): Workgroups {
  const items = rows * (heads / keyValueHeads) * portableHalves(headSize);
  return [keyValueHeads, Math.ceil(items / portableThreads), 1];
}
