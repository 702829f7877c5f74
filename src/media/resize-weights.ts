/** Bits after the point in a weight. 255 * the largest sum of |weights| (about 1.3) still fits 32 bits. */
export const fractionBits = 22;

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
