import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { range } from "./product.ts";
import { tileBindings } from "./tile-attention.ts";
import { float, uniformOf, workgroupNumber } from "./wgsl.ts";

export interface PlainAttentionOptions {
  readonly heads: number;
  /** A multiple of 4. */
  readonly headSize: number;
  /** Invocations that work on a query row of a head, and keys that they score together. */
  readonly threads: number;
}

/**
 * One query row of one head by a workgroup, in the flash manner: each invocation scores one key of a block, then takes
 * its columns of the values. The caller defines `queryAt(q)`, `keyPlace(j)`, `keyAt(place, q)`, `valuePlace(j)` and
 * `valueAt(place, c)`: quarter q (vec4f) of the query and of key j, and column c of value j.
 * The number of quarters is in the uniform, so that software adapters do not unroll the loop over them: that takes their
 * compilers seconds.
 */
function attendText({ headSize, threads }: PlainAttentionOptions): string {
  const own = range(Math.ceil(headSize / threads)); // columns of one invocation
  const column = (i: number) => `lane + ${i * threads}u`;
  return `
  for (var q = lane; q < ${headSize / 4}u; q += ${threads}u) {
    queryRow[q] = queryAt(q) * ${float(1 / Math.sqrt(headSize))};
  }
  ${own.map((i) => `var mixed${i} = 0.0;`).join("\n  ")}
  var largest = -3e38;
  var total = 0.0;
  workgroupBarrier();
  for (var first = 0u; first < count; first += ${threads}u) {
    let here = min(${threads}u, count - first);
    var score = -3e38;
    if (lane < here) {
      let place = keyPlace(first + lane);
      score = 0.0;
      for (var q = 0u; q < sizes.quarters; q++) { score += dot(queryRow[q], keyAt(place, q)); }
    }
    scores[lane] = score;
    workgroupBarrier();
    var most = largest;
    for (var j = 0u; j < here; j++) { most = max(most, scores[j]); }
    let kept = exp(largest - most);
    largest = most;
    total *= kept;
    ${own.map((i) => `mixed${i} *= kept;`).join("\n    ")}
    for (var j = 0u; j < here; j++) {
      let weight = exp(scores[j] - most);
      total += weight;
      let place = valuePlace(first + j);
      ${own.map((i) => `mixed${i} += weight * valueAt(place, min(${column(i)}, ${headSize - 1}u));`).join("\n      ")}
    }
    workgroupBarrier();
  }`;
}

const storeText = ({ headSize, threads }: PlainAttentionOptions) =>
  range(Math.ceil(headSize / threads))
    .map((i) => {
      const column = `lane + ${i * threads}u`;
      return `if (${column} < ${headSize}u) { output[to + ${column}] = mixed${i} / total; }`;
    })
    .join("\n  ");

const workgroupText = ({ headSize, threads }: PlainAttentionOptions) => `
var<workgroup> queryRow: array<vec4f, ${headSize / 4}>;
var<workgroup> scores: array<f32, ${threads}>;
var<workgroup> sharedCount: u32;`;

/**
 * Full attention inside each group of rows (`Attention`), for every device. Bindings: see `tileBindings`, all of f32, the uniform with
 * `quarters` (headSize / 4) in front; `together` when q, k and v are columns of one matrix.
 */
export function plainTileAttention(options: PlainAttentionOptions & { together: boolean }): Kernel {
  const { heads, headSize, together, threads } = options;
  const { kinds, names, declarations } = tileBindings(together, false);
  const place = (of: string) => `(rows0 + j) * sizes.${of}Stride + sizes.${of}First + head * ${headSize}u`;
  const four = (name: string, at: string) =>
    `vec4f(${range(4)
      .map((i) => `${name}[${at} + ${i}u]`)
      .join(", ")})`;
  return {
    key: `plain tile attention ${heads} ${headSize} ${together ? "together" : "apart"} ${threads}`,
    code: `${declarations.replaceAll("array<vec4f>", "array<f32>").replace("struct Sizes { ", "struct Sizes { quarters: u32, ")}
${workgroupText(options)}
var<private> rows0: u32;
var<private> head: u32;
var<private> own: u32;
fn queryAt(q: u32) -> vec4f { return ${four(names.query, "own + q * 4u")}; }
fn keyPlace(j: u32) -> u32 { return ${place("key")}; }
fn valuePlace(j: u32) -> u32 { return ${place("value")}; }
fn keyAt(place: u32, q: u32) -> vec4f { return ${four(names.key, "place + q * 4u")}; }
fn valueAt(place: u32, c: u32) -> f32 { return ${names.value}[place + c]; }

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let item = ${workgroupNumber};
  let n = item / ${heads}u;
  if (n >= sizes.groups * sizes.groupRows) { return; }
  head = item % ${heads}u;
  rows0 = n / sizes.groupRows * sizes.groupRows;
  own = n * sizes.queryStride + sizes.queryFirst + head * ${headSize}u;
  let count = sizes.groupRows;
  ${attendText(options)}
  let to = n * sizes.outputStride + head * ${headSize}u;
  ${storeText(options)}
}`,
    bindings: kinds,
    features: [],
  };
}

export interface PlainPagedOptions extends PlainAttentionOptions {
  readonly keyValueHeads: number;
  readonly pageSize: number;
  readonly cacheType: "f16" | "f32";
}

/** Fields of the uniform of paged attention, in order. */
const pagedSizes = [
  "quarters",
  "rows",
  "sequences",
  "pagesPerSequence",
  "queryStride",
  "queryFirst",
  "outputStride",
] as const;

/**
 * Causal attention over cached pages (`PagedAttention`), for every device.
 *
 * 0 query f32 · 1 keys · 2 values `[pages * pageSize, keyValueHeads * headSize]` of `cacheType` · 3 starts · 4 lengths ·
 * 5 pages u32 · 6 output f32 · uniform.
 */
export function plainPagedAttention(options: PlainPagedOptions): Kernel {
  const { heads, keyValueHeads, headSize, pageSize, cacheType, threads } = options;
  const width = keyValueHeads * headSize;
  const sharing = heads / keyValueHeads;
  const half = cacheType === "f16";
  const word = half ? "u32" : "f32";
  const keyFour = half
    ? "vec4f(unpack2x16float(keys[place / 2u + q * 2u]), unpack2x16float(keys[place / 2u + q * 2u + 1u]))"
    : `vec4f(${range(4)
        .map((i) => `keys[place + q * 4u + ${i}u]`)
        .join(", ")})`;
  return {
    key: `plain paged attention ${heads} ${keyValueHeads} ${headSize} ${pageSize} ${cacheType} ${threads}`,
    code: `
@group(0) @binding(0) var<storage, read_write> query: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<${word}>;
@group(0) @binding(2) var<storage, read> values: array<${word}>;
@group(0) @binding(3) var<storage, read_write> starts: array<u32>;
@group(0) @binding(4) var<storage, read_write> lengths: array<u32>;
@group(0) @binding(5) var<storage, read_write> pages: array<u32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
${uniformOf(pagedSizes, 7)}
${workgroupText(options)}
var<private> head: u32;
var<private> own: u32;
var<private> table: u32;
fn queryAt(q: u32) -> vec4f {
  let at = own + q * 4u;
  return vec4f(query[at], query[at + 1u], query[at + 2u], query[at + 3u]);
}
fn keyPlace(j: u32) -> u32 {
  let slot = pages[table + j / ${pageSize}u] * ${pageSize}u + j % ${pageSize}u;
  return slot * ${width}u + head / ${sharing}u * ${headSize}u;
}
fn valuePlace(j: u32) -> u32 { return keyPlace(j); }
fn keyAt(place: u32, q: u32) -> vec4f { return ${keyFour}; }
fn valueAt(place: u32, c: u32) -> f32 {
  ${half ? "return unpack2x16float(values[(place + c) >> 1u])[c & 1u];" : "return values[place + c];"}
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let item = ${workgroupNumber};
  let n = item / ${heads}u;
  if (n >= sizes.rows) { return; }
  head = item % ${heads}u;
  var b = 0u;
  while (b + 1u < sizes.sequences && starts[b + 1u] <= n) { b++; }
  table = b * sizes.pagesPerSequence;
  own = n * sizes.queryStride + sizes.queryFirst + head * ${headSize}u;
  if (lane == 0u) { sharedCount = lengths[b] - (starts[b + 1u] - n) + 1u; }
  let count = workgroupUniformLoad(&sharedCount);
  ${attendText(options)}
  let to = n * sizes.outputStride + head * ${headSize}u;
  ${storeText(options)}
}`,
    bindings: ["write", "read", "read", "write", "write", "write", "write", "uniform"],
    features: [],
  };
}

/** Workgroups of either: one for each row and head. */
export function plainAttentionWorkgroups(rows: number, heads: number): Workgroups {
  return foldWorkgroups(rows * heads);
}
