// Bytes and numbers that look like weights, the same each time. Large files repeat pieces of one pool.
let state = 0x2545f491;

/** xorshift32 (Marsaglia, 2003). */
export function bits() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}

/** Nearly normal, deviation 1. */
export function normal() {
  let sum = 0;
  for (let i = 0; i < 4; i++) sum += bits() / 2 ** 32;
  return (sum - 2) * Math.sqrt(3);
}

const float = new Float32Array(1);
const pattern = new Uint32Array(float.buffer);

export function bf16(value) {
  float[0] = value;
  return (pattern[0] + 0x8000) >>> 16;
}

/** f16 of a value that is neither tiny nor huge. */
export function f16(value) {
  float[0] = value;
  const exponent = ((pattern[0] >>> 23) & 255) - 112;
  if (exponent <= 0 || exponent > 30) throw new RangeError(`${value} is no normal f16`);
  return ((pattern[0] >>> 16) & 0x8000) | (exponent << 10) | ((pattern[0] & 0x7fffff) >>> 13);
}

/** Gives `count` bytes as pieces of a pool, each piece beginning at another whole unit. */
export function* pieces(pool, count, unit) {
  const units = pool.length / unit;
  while (count > 0) {
    const start = (bits() % Math.ceil(units / 2)) * unit;
    const piece = pool.subarray(start, Math.min(pool.length, start + count));
    yield piece;
    count -= piece.length;
  }
}
