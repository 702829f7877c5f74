/**
 * Pillow's `Image.resize(size, resample=BICUBIC)` for RGB, bit for bit.
 *
 * Two passes, across and then down, each a weighted sum in 22-bit fixed point and each rounded to 8 bits. When
 * shrinking, the kernel is stretched by the scale, so every input pixel counts (no aliasing). The order of the passes
 * shows in the last bit, and is Pillow's: a picture over 100 times as high as wide that loses height goes down first.
 */

import { OptionError } from "../errors.ts";
import type { RGBImage } from "./image.ts";

/** Bits after the point in a weight. 255 * the largest sum of |weights| (about 1.3) still fits 32 bits. */
const fractionBits = 22;
const half = 1 << (fractionBits - 1);

/** Keys' cubic kernel with a = -1/2, in the order of operations that gives Pillow's last bit. */
function bicubic(distance: number, a: number): number {
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** For each output position: the first input position it reads, how many, and their weights. */
export interface Weights {
  /** `[outputs]` */
  first: Int32Array;
  /** `[outputs]` */
  count: Int32Array;
  /** Weights kept per output; rows of `values` are padded with zeros to it. */
  stride: number;
  /** `[outputs, stride]`, in units of 2^-22 */
  values: Int32Array;
}

/**
 * The weights of one axis (Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`).
 *
 * @param a the kernel's free parameter: Pillow's is -0.5
 */
export function bicubicWeights(inputs: number, outputs: number, a = -0.5): Weights {
  const scale = inputs / outputs;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outputs);
  const count = new Int32Array(outputs);
  const values = new Int32Array(outputs * stride);
  const exact = new Float64Array(stride);
  const inverse = 1 / stretch;
  for (let output = 0; output < outputs; output++) {
    const centre = (output + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const taps = Math.min(inputs, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) {
      exact[tap] = bicubic((tap + start - centre + 0.5) * inverse, a);
      sum += exact[tap];
    }
    for (let tap = 0; tap < taps; tap++) {
      const fixed = (sum === 0 ? exact[tap] : exact[tap] / sum) * (1 << fractionBits);
      values[output * stride + tap] = Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
    first[output] = start;
    count[output] = taps;
  }
  return { first, count, stride, values };
}

/** `[height, width, 3]` to `[height, outputs, 3]`. */
function resizeAcross(data: Uint8Array, width: number, height: number, outputs: number): Uint8Array {
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
function resizeDown(data: Uint8Array, width: number, height: number, outputs: number): Uint8Array {
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

/**
 * Pillow's `Image.resize((width, height), BICUBIC)`: the same bytes. A side that keeps its length is not filtered.
 *
 * @returns a new image; its data is a copy even when the size is unchanged
 * @throws OptionError for a size that is not a whole number above 0
 */
export function resizeBicubic(image: RGBImage, width: number, height: number): RGBImage {
  for (const [name, value] of [
    ["width", width],
    ["height", height],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new OptionError(name, value, "must be a whole number above 0");
  }
  const { data } = image;
  const across = (pixels: Uint8Array, rows: number) =>
    width === image.width ? pixels : resizeAcross(pixels, image.width, rows, width);
  const down = (pixels: Uint8Array, columns: number) =>
    height === image.height ? pixels : resizeDown(pixels, columns, image.height, height);
  const downFirst = image.height > image.width * 100 && height < image.height;
  const resized = downFirst
    ? across(down(data, image.width), height)
    : down(across(data, image.height), width);
  return { width, height, data: resized === data ? data.slice() : resized };
}
