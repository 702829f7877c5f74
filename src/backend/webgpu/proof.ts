/** Numbers that trials of kernels are made with, and how their results are compared. */

let numbers: Uint16Array<ArrayBuffer> | undefined;

/**
 * A mebibyte of numbers in ±1 that are f16 in pairs and, two together, f32 between ±0.5 and ±2: what both kinds of
 * kernels can read.
 */
export function randomHalves(): Uint16Array<ArrayBuffer> {
  if (numbers) return numbers;
  numbers = new Uint16Array(2 ** 19);
  let state = 0x9e3779b9;
  for (let i = 0; i < numbers.length; i++) {
    // xorshift32 (Marsaglia, 2003)
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // Sign and mantissa at random. The exponent of f16 is 2^-1 at most; as the upper half of an f32 the same bits,
    // 0x38… to 0x3b…, are tiny numbers: so its exponent is set to that of 0.5 to 2 there.
    numbers[i] = i % 2 === 0 ? (state & 0x83ff) | 0x3400 : (state & 0x807f) | 0x3f00;
  }
  return numbers;
}

/** The length of the difference, as a share of the length of what is wanted. Infinite where anything is not a number. */
export function relativeDistance(got: Float32Array, wanted: Float32Array): number {
  let difference = 0;
  let length = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (got[i] - wanted[i]) ** 2;
    length += wanted[i] ** 2;
  }
  const share = Math.sqrt(difference / Math.max(length, 1e-30));
  return Number.isFinite(share) ? share : Infinity;
}
