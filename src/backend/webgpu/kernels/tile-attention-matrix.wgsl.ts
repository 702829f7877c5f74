import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { type Fragments, matrixUnits } from "./fragments.ts";
import { type ResultType, writtenFunction } from "./half-output.ts";
import { type FlashTiles, matrixFlash, rowsOf } from "./matrix-flash.ts";
import { tileBindings, tileSizes } from "./tile-attention.ts";
import { workgroupNumber } from "./wgsl.ts";

/**
 * Full attention inside each group of rows on matrix units: `Attention` of graph/operations.ts in the fast precision.
 * Query, key and value are rounded to f16 where they are staged; one beyond f16 sets `status`, as does an output when that is f16.
 *
 * Bindings: see `tileBindings`, with `status: array<atomic<u32>>` before the uniform. Strides and firsts are multiples
 * of 4. Limits: head sizes that are a multiple of 32 (64 for 64 keys a step), subgroups of 32, about 40 KiB of
 * workgroup memory (`matrixFlash`). One workgroup takes `subgroupRows * subgroups` rows of one head of one group.
 */
/** Eight numbers as read, made f16; `check` sets the status where one is beyond. */
const halfText = `fn check(chunk: Chunk) {
  let largest = max(abs(chunk.low), abs(chunk.high));
  if (max(max(largest.x, largest.y), max(largest.z, largest.w)) > 65504.0) { atomicStore(&status[0], 1u); }
}
fn half(chunk: Chunk) -> vec4u {
  return vec4u(pack2x16float(chunk.low.xy), pack2x16float(chunk.low.zw),
    pack2x16float(chunk.high.xy), pack2x16float(chunk.high.zw));
}`;

export interface TileAttentionMatrixOptions {
  readonly heads: number;
  readonly headSize: number;
  /** Whether q, k and v are columns of one storage, which is then bound once. */
  readonly together: boolean;
  /** Whether keys and values were rounded to f16 before, by `tileHalves`: half as much to read for each workgroup. */
  readonly halves?: boolean;
  /** Of the output; f32 unless told. */
  readonly result?: ResultType;
  readonly tiles: FlashTiles;
}

export function tileAttentionMatrix(
  options: TileAttentionMatrixOptions,
  fragments: Fragments = matrixUnits,
): Kernel {
  const { heads, headSize, together, halves = false, result = "f32", tiles } = options;
  const { kinds, declarations, names } = tileBindings(together, true, halves, result);
  const row = (tensor: string) =>
    `sizes.${tensor}First / 4u + (place.base + row) * (sizes.${tensor}Stride / 4u)`;
  const load = (tensor: string, chunk: string) => `let at = ${row(tensor)} + place.head + ${chunk} * 2u;
  return Chunk(${names[tensor as "query"]}[at], ${names[tensor as "query"]}[at + 1u]);`;
  const width = (heads * headSize) / 8; // chunks of a row's keys, or values
  const chunks = halves
    ? `alias Part = vec4u;
fn packed(place: Place, chunk: Part) -> vec4u { return chunk; }
fn loadKey(place: Place, block: u32, row: u32, chunk: u32) -> Part {
  if (row >= place.rows) { return vec4u(0u); }
  return halves[(place.base + row) * ${2 * width}u + place.head / 2u + chunk];
}
fn loadValue(place: Place, block: u32, row: u32, chunk: u32) -> Part {
  if (row >= place.rows) { return vec4u(0u); }
  return halves[(place.base + row) * ${2 * width}u + ${width}u + place.head / 2u + chunk];
}`
    : `alias Part = Chunk;
fn packed(place: Place, chunk: Part) -> vec4u {
  // The first workgroup of a head sees all keys and values.
  if (place.firstRow == 0u) { check(chunk); }
  return half(chunk);
}
fn loadKey(place: Place, block: u32, row: u32, chunk: u32) -> Part {
  if (row >= place.rows) { return Chunk(); }
  ${load("key", "chunk")}
}
fn loadValue(place: Place, block: u32, row: u32, chunk: u32) -> Part {
  if (row >= place.rows) { return Chunk(); }
  ${load("value", "chunk")}
}`;
  return {
    key: `tile-attention-matrix ${fragments.name} ${JSON.stringify(options)}`,
    features: fragments.features,
    subgroupSize: 32,
    bindings: kinds,
    code: matrixFlash({
      headSize,
      tiles,
      fragments,
      declarations: `${declarations}
struct Place { rows: u32, firstRow: u32, keyCount: u32, leastVisible: u32, base: u32, head: u32 }
struct Chunk { low: vec4f, high: vec4f }
${halfText}
fn queryChunk(place: Place, row: u32, chunk: u32) -> Chunk {
  ${load("query", "chunk")}
}
fn loadQuery(place: Place, row: u32, chunk: u32) -> vec4u {
  if (row >= place.rows) { return vec4u(0u); }
  let read = queryChunk(place, row, chunk);
  const factor = ${Math.LOG2E / Math.sqrt(headSize)};
  let query = Chunk(read.low * factor, read.high * factor);
  check(query);
  return half(query);
}
fn blockAt(place: Place, row: u32) -> u32 { return 0u; }
${chunks}
fn visible(place: Place, row: u32) -> u32 { return place.rows; }
${writtenFunction(result, "status[0]")}
fn store(place: Place, row: u32, column: u32, value: vec4f) {
  output[(place.base + row) * (sizes.outputStride / 4u) + place.head + column] = written(value);
}`,
      locate: `let place = Place(sizes.groupRows, workgroup.y * ${rowsOf(tiles)}u, sizes.groupRows, sizes.groupRows,
  workgroup.z * sizes.groupRows, workgroup.x * ${headSize / 4}u);`,
    }),
  };
}

export function tileAttentionMatrixWorkgroups(
  { heads, tiles }: TileAttentionMatrixOptions,
  { groups, groupRows }: { groups: number; groupRows: number },
): Workgroups {
  return [heads, Math.ceil(groupRows / rowsOf(tiles)), groups];
}

/**
 * Rounds keys and values to f16 for `halves`. Bindings: the storage of both (or key, then value, when apart), halves,
 * status, and the uniform of tile attention.
 */
export function tileHalves({ heads, headSize, together }: Omit<TileAttentionMatrixOptions, "tiles">): Kernel {
  const width = (heads * headSize) / 8;
  const sources = together ? ["key"] : ["key", "value"];
  const text = [
    ...sources.map((name) => `${name}: array<vec4f>`),
    "halves: array<vec4u>",
    "status: array<atomic<u32>>",
  ];
  const bindings = text.map((line, i) => `@group(0) @binding(${i}) var<storage, read_write> ${line};`);
  const read = (of: string, binding: string) =>
    `let at = (sizes.${of}First + row * sizes.${of}Stride) / 4u + (item % ${width}u) * 2u;
  chunk = Chunk(${binding}[at], ${binding}[at + 1u]);`;
  return {
    key: `tile-halves ${heads} ${headSize} ${together ? "together" : "apart"}`,
    features: [],
    bindings: [...text.map(() => "write" as const), "uniform"],
    code: `struct Sizes { ${tileSizes.map((name) => `${name}: u32`).join(", ")} }
${bindings.join("\n")}
@group(0) @binding(${text.length}) var<uniform> sizes: Sizes;
struct Chunk { low: vec4f, high: vec4f }
${halfText}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let item = ${workgroupNumber} * 256u + thread;
  let row = item / ${2 * width}u;
  if (row >= sizes.groups * sizes.groupRows) { return; }
  var chunk: Chunk;
  if (item / ${width}u % 2u == 0u) {
    ${read("key", "key")}
  } else {
    ${read("value", together ? "key" : "value")}
  }
  check(chunk);
  halves[item] = half(chunk);
}
`,
  };
}

type HalvesShape = { heads: number; headSize: number };

export function tileHalvesWorkgroups({ heads, headSize }: HalvesShape, rows: number): Workgroups {
  return foldWorkgroups(Math.ceil((rows * heads * headSize) / 4 / 256));
}

/** Bytes of `halves`. */
export function tileHalvesBytes({ heads, headSize }: HalvesShape, rows: number): number {
  return rows * heads * headSize * 4;
}
