/** The number formats of a checkpoint's tensors, and their way to f32 and back. */

import { ShapeError } from "../errors.ts";
import type { DType } from "./tensor-store.ts";

/** Bytes of one value. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = { BF16: 2, F16: 2, F32: 4 };

/**
 * Little-endian values widened to f32: exact, for f32 holds every bf16 and f16. `bytes` may start at any offset.
 * The result is always a copy.
 *
 * @throws ShapeError when `bytes` ends inside a value.
 */
export function widen(dtype: DType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const size = DTYPE_BYTES[dtype];
  if (bytes.length % size !== 0)
    throw new ShapeError(`${bytes.length} bytes are no whole number of ${dtype} values of ${size} bytes`);
  if (dtype === "F32") return new Float32Array(new Uint8Array(bytes).buffer);

  const halves = as16(bytes);
  if (dtype === "F16") {
    const table = f16Table();
    const floats = new Float32Array(halves.length);
    for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i]];
    return floats;
  }
  // A bf16 is the upper half of an f32.
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}

/** The same bytes as 16-bit values; copied only when they do not start on an even address. */
function as16(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
}

let table: Float32Array | undefined;

/** The value of each of the 65,536 f16 bit patterns. */
function f16Table(): Float32Array {
  if (table) return table;
  table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    const magnitude =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -14
          : (1 + fraction) * 2 ** (exponent - 15);
    table[bits] = bits >> 15 ? -magnitude : magnitude;
  }
  return table;
}

const float = new Float32Array(1);
const pattern = new Uint32Array(float.buffer);

/** The nearest bf16 to an f32, ties to the even one, as a number. NaN stays NaN; what is too large becomes infinite. */
export function roundToBf16(value: number): number {
  float[0] = value;
  const bits = pattern[0];
  // Adding to a NaN's fraction could carry it into another number.
  if ((bits & 0x7fffffff) > 0x7f800000) return Number.NaN;
  pattern[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return float[0];
}
