import type { HostArray } from "../backend.ts";

/** A matrix in memory: row r, column c is `data[start + r * stride + c]`. A view has a stride wider than its columns. */
export interface Matrix<Data extends HostArray = Float32Array> {
  readonly data: Data;
  readonly rows: number;
  readonly columns: number;
  readonly start: number;
  readonly stride: number;
}

/** Row r of a matrix, without a copy. */
export function rowOf(matrix: Matrix, r: number): Float32Array {
  const from = matrix.start + r * matrix.stride;
  return matrix.data.subarray(from, from + matrix.columns);
}

/** `Σ a[i] · b[i]`, in four partial sums of double precision. */
export function dot(a: Float32Array, b: Float32Array): number {
  const length = a.length;
  const whole = length - (length % 4);
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let i = 0; i < whole; i += 4) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
    s2 += a[i + 2] * b[i + 2];
    s3 += a[i + 3] * b[i + 3];
  }
  for (let i = whole; i < length; i++) s0 += a[i] * b[i];
  return s0 + s1 + (s2 + s3);
}
