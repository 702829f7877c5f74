import type { Fragments } from "./fragments.ts";
import { lines } from "./wgsl.ts";

/** How one workgroup divides its work. */
export interface FlashTiles {
  /** Query rows of a subgroup. */
  readonly subgroupRows: 16 | 32;
  readonly subgroups: number;
  /** Keys of one step: 32, or 64 where it divides the head size. */
  readonly keys: 32 | 64;
}

export interface FlashParts {
  readonly headSize: number;
  readonly tiles: FlashTiles;
  readonly fragments: Fragments;
  /**
   * Bindings and functions: `struct Place { rows, firstRow, keyCount, leastVisible, … }` (of this workgroup: rows there
   * are in all, its first, keys its last row sees, keys its first row sees), `alias Part` (eight elements as read),
   * `loadQuery(place, row, chunk) -> vec4u` (f16, scaled by log2(e) / √headSize), `blockAt(place, position) -> u32` (where a
   * step of keys lies, asked for a step before it is needed), `loadKey` and
   * `loadValue(place, block, position, chunk) -> Part`, `packed(place, Part) -> vec4u`, `visible(place, row) -> u32` (at least 1),
   * `store(place, row, column / 4, vec4f)`. Loads give zeros beyond the ends.
   */
  readonly declarations: string;
  /** Defines `place`, uniform over the workgroup, from `workgroup` and `thread`. */
  readonly locate: string;
}

/** Query rows of a workgroup. */
export const rowsOf = (tiles: FlashTiles) => tiles.subgroupRows * tiles.subgroups;

/** Workgroup memory that a kernel takes. */
export function flashBytes(tiles: FlashTiles, headSize: number): number {
  const { keys } = tiles;
  const cached = 2 * keys * (headSize / 8 + 1);
  const scored = rowsOf(tiles) * (keys / 4 + 2 + keys / 8 + 1);
  return (cached + scored) * 16 + (rowsOf(tiles) + 1) * 4;
}

/**
 * Shapes worth a trial, those that were fastest on one NVIDIA H200 first. Every workgroup reads all keys and values, so
 * many rows a workgroup count more than anything else.
 */
const shapes: readonly FlashTiles[] = [
  { subgroupRows: 16, subgroups: 10, keys: 32 },
  { subgroupRows: 16, subgroups: 8, keys: 32 },
  { subgroupRows: 32, subgroups: 4, keys: 32 },
  { subgroupRows: 16, subgroups: 4, keys: 32 },
];

/** The two likeliest shapes that suit a head size and a device's limits; none where no shape does. */
export function flashTiles(
  headSize: number,
  limits: { maxComputeWorkgroupStorageSize: number; maxComputeInvocationsPerWorkgroup: number },
): FlashTiles[] {
  const suiting = shapes.filter(
    (tiles) =>
      headSize % tiles.keys === 0 &&
      flashBytes(tiles, headSize) <= limits.maxComputeWorkgroupStorageSize &&
      tiles.subgroups * 32 <= limits.maxComputeInvocationsPerWorkgroup,
  );
  return suiting.slice(0, 2);
}

/**
 * Attention in the flash manner (Dao et al. 2022, arXiv 2205.14135) on matrix units: scores and sums f32, products of
 * f16. Fragments are opaque, so scores go through workgroup memory, one row a lane (or a pair of lanes). A row's
 * maximum may lag behind by a factor of 2^8, which f16 weights hold; only where it lags further are the sums
 * brought in line, a slow path that all subgroups take together. Rows in workgroup memory are padded, and lanes of
 * higher rows take their words in the other order, so that the banks of the memory are shared evenly.
 */
export function matrixFlash({ headSize, tiles, fragments: f, declarations, locate }: FlashParts): string {
  const { subgroupRows, subgroups, keys } = tiles;
  if (headSize % keys !== 0) throw new RangeError(`head size ${headSize} is not a multiple of ${keys} keys`);
  const rows = rowsOf(tiles);
  const threads = subgroups * 32;
  const rowFragments = subgroupRows / 16;
  const keyFragments = keys / 16;
  const columnFragments = headSize / 16;
  const pieces = headSize / keys;
  const lanesPerRow = 32 / subgroupRows;
  const chunksPerLane = keys / 8 / lanesPerRow;
  const keyStride = headSize / 8 + 1;
  const weightStride = keys / 8 + 1;
  const scoreStride = keys / 4 + 2;
  const chunks = (keys * headSize) / 8;
  const chunksPerThread = Math.ceil(chunks / threads);
  const each = (emit: (i: number, chunk: string) => string) =>
    lines(chunksPerThread, (i) => {
      const chunk = `(thread + ${i * threads}u)`;
      return (i + 1) * threads <= chunks
        ? emit(i, chunk)
        : `if (${chunk} < ${chunks}u) { ${emit(i, chunk)} }`;
    });
  const rowOfChunk = (chunk: string) => `${chunk} / ${headSize / 8}u`;
  const columnOfChunk = (chunk: string) => `${chunk} % ${headSize / 8}u`;
  const load = (into: string, from: string, first: string, block: string) =>
    each(
      (i, chunk) =>
        `${into}${i} = ${from}(place, ${block}, ${first} + ${rowOfChunk(chunk)}, ${columnOfChunk(chunk)});`,
    );
  const stage = (array: string, from: string) =>
    each(
      (i, chunk) =>
        `${array}[${rowOfChunk(chunk)} * ${keyStride}u + ${columnOfChunk(chunk)}] = packed(place, ${from}${i});`,
    );
  const strip = (array: number, fragment: number) => `(firstOfSubgroup + ${fragment * 16}u) * ${array}u`;

  const queries = lines(
    pieces,
    (piece) => `for (var i = thread; i < ${(rows * keys) / 8}u; i += ${threads}u) {
  weights[i / ${keys / 8}u * ${weightStride}u + i % ${keys / 8}u] =
    loadQuery(place, place.firstRow + i / ${keys / 8}u, ${(piece * keys) / 8}u + i % ${keys / 8}u);
}
workgroupBarrier();
${lines(rowFragments, (r) =>
  lines(keyFragments, (k) =>
    f.left(
      `q_${r}_${piece * keyFragments + k}`,
      "weights",
      `${strip(weightStride, r)} + ${k * 2}u`,
      weightStride,
    ),
  ),
)}
workgroupBarrier();`,
  );

  const scores = `${lines(rowFragments, (r) => lines(keyFragments, (n) => f.result(`s_${r}_${n}`)))}
${lines(columnFragments, (k) =>
  lines(
    keyFragments,
    (n) => `{
${f.right("b", "keyTile", `${n * 16 * keyStride + k * 2}u`, keyStride, "column")}
${lines(rowFragments, (r) => f.multiply(`s_${r}_${n}`, `q_${r}_${k}`, "b"))}
}`,
  ),
)}
${lines(rowFragments, (r) =>
  lines(keyFragments, (n) =>
    f.store("scores", `${strip(scoreStride, r)} + ${n * 4}u`, scoreStride, `s_${r}_${n}`),
  ),
)}`;

  const chunkOfLane = (i: number) => (lanesPerRow === 1 ? `${i}u` : `(${i * 2}u + half)`);
  const masked = (name: string, i: number, first: string) =>
    `${name} = select(vec4f(-1e30), ${name}, vec4u(${chunkOfLane(i)} * 8u + ${first} * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(left));`;
  const softmax = `${lines(
    chunksPerLane,
    (i) => `var a_${i} = scores[row * ${scoreStride}u + ${chunkOfLane(i)} * 2u + turn];
var b_${i} = scores[row * ${scoreStride}u + ${chunkOfLane(i)} * 2u + 1u - turn];`,
  )}
if (firstKey + ${keys}u > place.leastVisible) {
  let left = max(seen, firstKey) - firstKey;
  ${lines(chunksPerLane, (i) => `${masked(`a_${i}`, i, "turn")}\n${masked(`b_${i}`, i, "(1u - turn)")}`)}
}
var tops = max(a_0, b_0);
${lines(chunksPerLane - 1, (i) => `tops = max(tops, max(a_${i + 1}, b_${i + 1}));`)}
var top = max(max(tops.x, tops.y), max(tops.z, tops.w));
${lanesPerRow === 2 ? "top = max(top, subgroupShuffleXor(top, 1u));" : ""}
if (top > largest + 8.0) {
  shrink = exp2(largest - top);
  largest = top;
  total *= shrink;
  if (firstKey > 0u) { atomicStore(&lagging, 1u); }
}
var sums = vec4f(0.0);
${lines(
  chunksPerLane,
  (i) => `{
  let a = exp2(a_${i} - largest);
  let b = exp2(b_${i} - largest);
  sums += a + b;
  let first = vec2u(pack2x16float(a.xy), pack2x16float(a.zw));
  let second = vec2u(pack2x16float(b.xy), pack2x16float(b.zw));
  weights[row * ${weightStride}u + ${chunkOfLane(i)}] =
    select(vec4u(first, second), vec4u(second, first), vec4<bool>(turn == 1u));
}`,
)}
total += sums.x + sums.y + sums.z + sums.w;`;

  const eachResult = (piece: number, emit: (result: string, offset: string) => string) =>
    lines(rowFragments, (r) =>
      lines(keyFragments, (n) =>
        emit(`o_${r}_${piece * keyFragments + n}`, `${strip(scoreStride, r)} + ${n * 4}u`),
      ),
    );
  const storePiece = (piece: number) => `if (working) {
${eachResult(piece, (result, offset) => f.store("scores", offset, scoreStride, result))}
}
workgroupBarrier();`;

  const catchUp = lines(
    pieces,
    (piece) => `${storePiece(piece)}
if (working) {
  ${lines(
    chunksPerLane,
    (i) => `scores[row * ${scoreStride}u + ${chunkOfLane(i)} * 2u + turn] *= shrink;
  scores[row * ${scoreStride}u + ${chunkOfLane(i)} * 2u + 1u - turn] *= shrink;`,
  )}
}
workgroupBarrier();
if (working) {
${eachResult(piece, (result, offset) => f.reload(result, "scores", offset, scoreStride))}
}
workgroupBarrier();`,
  );

  const mix = lines(
    keyFragments,
    (k) => `{
${lines(rowFragments, (r) => f.left(`p_${r}`, "weights", `${strip(weightStride, r)} + ${k * 2}u`, weightStride))}
${lines(
  columnFragments,
  (n) => `{
${f.right("b", "valueTile", `${k * 16 * keyStride + n * 2}u`, keyStride, "row")}
${lines(rowFragments, (r) => f.multiply(`o_${r}_${n}`, `p_${r}`, "b"))}
}`,
)}
}`,
  );

  const output = lines(
    pieces,
    (piece) => `${storePiece(piece)}
for (var i = thread; i < ${(rows * keys) / 4}u; i += ${threads}u) {
  let r = i / ${keys / 4}u;
  if (place.firstRow + r < place.rows) {
    store(place, place.firstRow + r, ${(piece * keys) / 4}u + i % ${keys / 4}u,
      scores[r * ${scoreStride}u + i % ${keys / 4}u] * inverse[r]);
  }
}
workgroupBarrier();`,
  );

  return `${f.enables}
${declarations}
var<workgroup> keyTile: array<vec4u, ${keys * keyStride}>;
var<workgroup> valueTile: array<vec4u, ${keys * keyStride}>;
var<workgroup> scores: array<vec4f, ${rows * scoreStride}>;
var<workgroup> weights: array<vec4u, ${rows * weightStride}>;
var<workgroup> inverse: array<f32, ${rows}>;
var<workgroup> lagging: atomic<u32>;
${f.declarations(["keyTile", "valueTile", "weights"])}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32${f.parameters && `,\n  ${f.parameters}`}) {
${locate}
if (place.firstRow >= place.rows) { return; }
${f.prologue}
let firstOfSubgroup = subgroup * ${subgroupRows}u;
let working = place.firstRow + firstOfSubgroup < place.rows;
let row = firstOfSubgroup + lane / ${lanesPerRow}u;
${lanesPerRow === 2 ? "let half = lane % 2u;\nlet turn = half;" : "let turn = (lane >> 2u) & 1u;"}
let seen = visible(place, place.firstRow + row);
${queries}
${lines(rowFragments, (r) => lines(columnFragments, (n) => f.result(`o_${r}_${n}`)))}
var largest = -1e30;
var total = 0.0;
${lines(chunksPerThread, (i) => `var k${i}: Part;\nvar v${i}: Part;`)}
let firstBlock = blockAt(place, 0u);
${load("k", "loadKey", "0u", "firstBlock")}
${load("v", "loadValue", "0u", "firstBlock")}
var block = blockAt(place, ${keys}u);
${stage("keyTile", "k")}
for (var firstKey = 0u; firstKey < place.keyCount; firstKey += ${keys}u) {
  workgroupBarrier(); // The keys are there, and nothing reads the last values any more.
  ${stage("valueTile", "v")}
  if (thread == 0u) { atomicStore(&lagging, 0u); }
  ${load("k", "loadKey", `firstKey + ${keys}u`, "block")}
  if (working) {
${scores}
  }
  workgroupBarrier(); // Scores and values are there, and nothing reads the keys any more.
  ${stage("keyTile", "k")}
  ${load("v", "loadValue", `firstKey + ${keys}u`, "block")}
  block = blockAt(place, firstKey + ${2 * keys}u);
  var shrink = 1.0;
  if (working) {
${softmax}
  }
  if (workgroupUniformLoad(&lagging) != 0u) {
${catchUp}
  }
  if (working) {
${mix}
  }
}
${lanesPerRow === 2 ? "total += subgroupShuffleXor(total, 1u);" : ""}
inverse[row] = 1.0 / total;
${output}
}
`;
}
