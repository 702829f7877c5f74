import type { Kernel, Workgroups } from "../kernel.ts";
import { type Fragments, matrixUnits } from "./fragments.ts";
import { type ResultType, writtenFunction } from "./half-output.ts";
import { type FlashTiles, matrixFlash, rowsOf } from "./matrix-flash.ts";
import { pagedBindings } from "./paged-attention.ts";

/**
 * Causal attention over f16 pages on matrix units: `PagedAttention` of graph/operations.ts in the fast precision, for
 * sequences of any numbers of new tokens, with any context before them. The heads that share a key-value head are rows
 * of one workgroup, so a key is staged once for all of them: its row r is token `r / sharing`, head `r % sharing`.
 *
 * Bindings: see `pagedBindings`, with `status: array<atomic<u32>>` (set by a query beyond f16, and by an output when that is f16) before the uniform.
 * Strides and firsts are multiples of 4. Limits: as `tile-attention-matrix`.
 */
export interface PagedPrefillMatrixOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly pageSize: number;
  /** Of the output; f32 unless told. */
  readonly result?: ResultType;
  readonly tiles: FlashTiles;
}

export function pagedPrefillMatrix(
  options: PagedPrefillMatrixOptions,
  fragments: Fragments = matrixUnits,
): Kernel {
  const { heads, keyValueHeads, headSize, pageSize, result = "f32", tiles } = options;
  const sharing = heads / keyValueHeads;
  const { kinds, declarations } = pagedBindings("f16", { status: true, result });
  const rowChunks = (keyValueHeads * headSize) / 8;
  // Where no step of keys is on two pages, one look at the table serves all of it.
  const whole = pageSize % tiles.keys === 0;
  const slot = whole ? `(block + position % ${pageSize}u)` : "slotOf(place, position)";
  const cached = (tensor: string) => `if (position >= place.keyCount) { return vec4u(0u); }
  return ${tensor}[${slot} * ${rowChunks}u + place.head * ${headSize / 8}u + chunk];`;
  return {
    key: `paged-prefill-matrix ${fragments.name} ${JSON.stringify(options)}`,
    features: fragments.features,
    subgroupSize: 32,
    bindings: kinds,
    code: matrixFlash({
      headSize,
      tiles,
      fragments,
      declarations: `${declarations}
struct Place {
  rows: u32, firstRow: u32, keyCount: u32, leastVisible: u32, head: u32, firstQuery: u32, context: u32, pages: u32
}
alias Part = vec4u;
var<workgroup> shared_place: Place;
${
  whole
    ? `fn blockAt(place: Place, position: u32) -> u32 {
  if (position >= place.keyCount) { return 0u; }
  return pages[place.pages + position / ${pageSize}u] * ${pageSize}u;
}`
    : `fn blockAt(place: Place, position: u32) -> u32 { return 0u; }
fn slotOf(place: Place, position: u32) -> u32 {
  return pages[place.pages + position / ${pageSize}u] * ${pageSize}u + position % ${pageSize}u;
}`
}
/** The block of a sequence that is the number-th of all, the longest contexts first within a sequence. */
fn locate(number: u32, head: u32) -> Place {
  var block = number;
  for (var b = 0u; b < sizes.sequences; b++) {
    let first = starts[b];
    let rows = (starts[b + 1u] - first) * ${sharing}u;
    let blocks = (rows + ${rowsOf(tiles) - 1}u) / ${rowsOf(tiles)}u;
    if (block < blocks) {
      let firstRow = (blocks - 1u - block) * ${rowsOf(tiles)}u;
      let context = lengths[b] - rows / ${sharing}u;
      let lastRow = min(firstRow + ${rowsOf(tiles)}u, rows) - 1u;
      return Place(rows, firstRow, context + lastRow / ${sharing}u + 1u, context + firstRow / ${sharing}u + 1u,
        head, first, context, b * sizes.pagesPerSequence);
    }
    block -= blocks;
  }
  return Place();
}
fn packed(place: Place, chunk: Part) -> vec4u { return chunk; }
fn columnOf(place: Place, row: u32) -> u32 { return (place.head * ${sharing}u + row % ${sharing}u) * ${headSize / 4}u; }
fn loadQuery(place: Place, row: u32, chunk: u32) -> vec4u {
  if (row >= place.rows) { return vec4u(0u); }
  let at = (sizes.queryFirst + (place.firstQuery + row / ${sharing}u) * sizes.queryStride) / 4u
    + columnOf(place, row) + chunk * 2u;
  const factor = ${Math.LOG2E / Math.sqrt(headSize)};
  let low = query[at] * factor;
  let high = query[at + 1u] * factor;
  if (any(abs(low) > vec4f(65504.0)) || any(abs(high) > vec4f(65504.0))) { atomicStore(&status[0], 1u); }
  return vec4u(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}
fn loadKey(place: Place, block: u32, position: u32, chunk: u32) -> Part {
  ${cached("keys")}
}
fn loadValue(place: Place, block: u32, position: u32, chunk: u32) -> Part {
  ${cached("values")}
}
fn visible(place: Place, row: u32) -> u32 { return place.context + min(row, place.rows - 1u) / ${sharing}u + 1u; }
${writtenFunction(result, "status[0]")}
fn store(place: Place, row: u32, column: u32, value: vec4f) {
  output[(place.firstQuery + row / ${sharing}u) * (sizes.outputStride / 4u) + columnOf(place, row) + column] = written(value);
}`,
      locate: `if (thread == 0u) { shared_place = locate(workgroup.y, workgroup.x); }
let place = workgroupUniformLoad(&shared_place);`,
    }),
  };
}

/** One workgroup a key-value head and block of rows; a few find nothing to do, because each sequence may end with part of a block. */
export function pagedPrefillMatrixWorkgroups(
  { heads, keyValueHeads, tiles }: PagedPrefillMatrixOptions,
  { rows, sequences }: { rows: number; sequences: number },
): Workgroups {
  return [keyValueHeads, Math.ceil((rows * (heads / keyValueHeads)) / rowsOf(tiles)) + sequences - 1, 1];
}
