import { type Matrix, rowOf } from "./matrix.ts";

/** `(x - mean) / √(variance + epsilon) · weight + bias` over each row: see `LayerNorm`. */
export function layerNorm(
  input: Matrix,
  weight: Float32Array,
  bias: Float32Array,
  epsilon: number,
  output: Matrix,
): void {
  for (let n = 0; n < input.rows; n++) {
    const x = rowOf(input, n);
    const y = rowOf(output, n);
    let sum = 0;
    for (const value of x) sum += value;
    const mean = sum / x.length;
    let squares = 0;
    for (const value of x) squares += (value - mean) ** 2;
    const inverse = 1 / Math.sqrt(squares / x.length + epsilon);
    for (let i = 0; i < x.length; i++) y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
  }
}

/** `x / √(mean(x²) + epsilon) · weight` over each row: see `RmsNorm`. */
export function rmsNorm(input: Matrix, weight: Float32Array, epsilon: number, output: Matrix): void {
  for (let n = 0; n < input.rows; n++) {
    const x = rowOf(input, n);
    const y = rowOf(output, n);
    let squares = 0;
    for (const value of x) squares += value * value;
    const inverse = 1 / Math.sqrt(squares / x.length + epsilon);
    for (let i = 0; i < x.length; i++) y[i] = x[i] * inverse * weight[i];
  }
}
