import type { Patches } from "../../graph/operations.ts";
import { type Matrix, rowOf } from "./matrix.ts";
import type { ReferenceWeight } from "./weights.ts";

/** See `Embed`. */
export function embed(table: ReferenceWeight, ids: Matrix<Uint32Array>, output: Matrix): void {
  for (let n = 0; n < ids.rows; n++) {
    const id = ids.data[ids.start + n];
    if (id >= table.rows)
      throw new RangeError(`token ${id} is beyond the embedding table of ${table.rows} rows`);
    rowOf(output, n).set(table.floats(id, 1));
  }
}

/** See `ScatterRows`. */
export function scatterRows(target: Matrix, source: Matrix, rows: Matrix<Uint32Array>): void {
  for (let m = 0; m < source.rows; m++) rowOf(target, rows.data[rows.start + m]).set(rowOf(source, m));
}

/** See `GatherRows`. */
export function gatherRows(input: Matrix, rows: Matrix<Uint32Array>, output: Matrix): void {
  for (let m = 0; m < rows.rows; m++) {
    for (let p = 0; p < rows.columns; p++) {
      const from = rows.data[rows.start + m * rows.stride + p];
      rowOf(output, m).set(rowOf(input, from), p * input.columns);
    }
  }
}

/** See `Patches`. */
export function patches(tiles: Matrix<Uint8Array>, operation: Patches, output: Matrix): void {
  const { tileSize, patchSize, mean, deviation } = operation;
  const side = tileSize / patchSize;
  const area = patchSize * patchSize;
  for (let tile = 0; tile < tiles.rows; tile++) {
    const pixels = tiles.data.subarray(tiles.start + tile * tiles.stride); // [tileSize, tileSize, 3]
    const firstRow = tile * (1 + side * side);
    rowOf(output, firstRow).fill(0);
    for (let patch = 0; patch < side * side; patch++) {
      const row = rowOf(output, firstRow + 1 + patch); // [3, patchSize, patchSize]
      const top = Math.floor(patch / side) * patchSize;
      const left = (patch % side) * patchSize;
      for (let channel = 0; channel < 3; channel++) {
        for (let i = 0; i < area; i++) {
          const y = top + Math.floor(i / patchSize);
          const x = left + (i % patchSize);
          const value = pixels[(y * tileSize + x) * 3 + channel] / 255;
          row[channel * area + i] = (value - mean[channel]) / deviation[channel];
        }
      }
    }
  }
}
