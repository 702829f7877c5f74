import type { ReferenceCache } from "./cache.ts";
import { type Matrix, rowOf } from "./matrix.ts";

/** Rotates q into `output`, and k into the cache beside its v: see `Rotary`. */
export function rotary(
  values: { query: Matrix; key: Matrix; value: Matrix; angles: Matrix; slots: Matrix<Uint32Array> },
  layer: number,
  cache: ReferenceCache,
  output: Matrix,
): void {
  const { query, key, value, angles, slots } = values;
  for (let n = 0; n < query.rows; n++) {
    const slot = slots.data[slots.start + n];
    const turn = rowOf(angles, n);
    rotateHeads(rowOf(query, n), turn, rowOf(output, n));
    rotateHeads(rowOf(key, n), turn, cache.key(layer, slot));
    cache.value(layer, slot).set(rowOf(value, n));
  }
}

/** Each head of `from` by the angles `[cos | sin]`: pairs are half a head apart. */
function rotateHeads(from: Float32Array, angles: Float32Array, to: Float32Array): void {
  const size = angles.length;
  const half = size / 2;
  for (let head = 0; head < from.length; head += size) {
    for (let i = 0; i < half; i++) {
      const a = from[head + i];
      const b = from[head + i + half];
      const cos = angles[i];
      const sin = angles[i + half];
      to[head + i] = a * cos - b * sin;
      to[head + i + half] = b * cos + a * sin;
    }
  }
}
