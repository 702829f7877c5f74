/** The two passes of the resize in plain loops: what the WebAssembly ones are held to, and used where there is no SIMD. */

import { bicubicWeights, fractionBits } from "./resize-weights.ts";

const half = 1 << (fractionBits - 1);

/** `[height, width, 3]` to `[height, outputs, 3]`. */
export function resizeAcross(data: Uint8Array, width: number, height: number, outputs: number): Uint8Array {
  const { first, count, stride, values } = bicubicWeights(width, outputs);
  // A clamped array saturates at 0 and 255 as it stores.
  const result = new Uint8ClampedArray(outputs * height * 3);
  let write = 0;
  for (let y = 0; y < height; y++) {
    const row = y * width * 3;
    for (let x = 0; x < outputs; x++) {
      let read = row + first[x] * 3;
      const begin = x * stride;
      const end = begin + count[x];
      let red = half;
      let green = half;
      let blue = half;
      for (let tap = begin; tap < end; tap++) {
        const weight = values[tap];
        red += Math.imul(data[read], weight);
        green += Math.imul(data[read + 1], weight);
        blue += Math.imul(data[read + 2], weight);
        read += 3;
      }
      result[write] = red >> fractionBits;
      result[write + 1] = green >> fractionBits;
      result[write + 2] = blue >> fractionBits;
      write += 3;
    }
  }
  return new Uint8Array(result.buffer);
}

/** `[height, width, 3]` to `[outputs, width, 3]`: whole rows are summed, so that memory is read in order. */
export function resizeDown(data: Uint8Array, width: number, height: number, outputs: number): Uint8Array {
  const { first, count, stride, values } = bicubicWeights(height, outputs);
  const rowBytes = width * 3;
  const result = new Uint8ClampedArray(rowBytes * outputs);
  const sums = new Int32Array(rowBytes);
  for (let y = 0; y < outputs; y++) {
    sums.fill(half);
    let tap = y * stride;
    const end = tap + count[y];
    let read = first[y] * rowBytes;
    // Four rows at a time: a quarter of the traffic to `sums`. Padding weights are zero, and so harmless.
    for (; tap + 4 <= end; tap += 4) {
      const w0 = values[tap];
      const w1 = values[tap + 1];
      const w2 = values[tap + 2];
      const w3 = values[tap + 3];
      const read1 = read + rowBytes;
      const read2 = read1 + rowBytes;
      const read3 = read2 + rowBytes;
      for (let x = 0; x < rowBytes; x++) {
        sums[x] +=
          Math.imul(data[read + x], w0) +
          Math.imul(data[read1 + x], w1) +
          Math.imul(data[read2 + x], w2) +
          Math.imul(data[read3 + x], w3);
      }
      read = read3 + rowBytes;
    }
    for (; tap < end; tap++) {
      const weight = values[tap];
      for (let x = 0; x < rowBytes; x++) sums[x] += Math.imul(data[read + x], weight);
      read += rowBytes;
    }
    const write = y * rowBytes;
    for (let x = 0; x < rowBytes; x++) result[write + x] = sums[x] >> fractionBits;
  }
  return new Uint8Array(result.buffer);
}
