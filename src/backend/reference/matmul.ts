import type { Activation } from "../../graph/operations.ts";
import type { Precision } from "../backend.ts";
import { dot, type Matrix, rowOf } from "./matrix.ts";
import { type ReferenceWeight, roundToBf16 } from "./weights.ts";

/** What `Matmul` adds after the product; vectors are already f32. */
export interface Epilogue {
  readonly bias?: Float32Array;
  readonly activation?: Activation;
  readonly scale?: Float32Array;
  readonly residual?: Matrix;
  readonly table?: Matrix;
}

/** Rows of a weight widened together: enough that widening costs little, few enough to stay in cache. */
const panelRows = 32;

/** `output = activation(input · weightᵀ + bias) ⊙ scale + residual + table[row mod table.rows]`: see `Matmul`. */
export function matmul(
  input: Matrix,
  weight: ReferenceWeight,
  { bias, activation, scale, residual, table }: Epilogue,
  output: Matrix,
  precision: Precision,
): void {
  const operands = operandRows(input, precision); // N rows of [K]
  forEachRow([weight], (m, [weightRow]) => {
    for (let n = 0; n < operands.length; n++) {
      let value = dot(operands[n], weightRow);
      if (bias) value += bias[m];
      if (activation === "gelu") value = gelu(value);
      if (scale) value *= scale[m];
      if (residual) value += residual.data[residual.start + n * residual.stride + m];
      if (table) value += table.data[table.start + (n % table.rows) * table.stride + m];
      output.data[output.start + n * output.stride + m] = value;
    }
  });
}

/** `output = silu(input · gateᵀ) ⊙ (input · upᵀ)`: see `GatedMatmul`. */
export function gatedMatmul(
  input: Matrix,
  gate: ReferenceWeight,
  up: ReferenceWeight,
  output: Matrix,
  precision: Precision,
): void {
  const operands = operandRows(input, precision);
  forEachRow([gate, up], (m, [gateRow, upRow]) => {
    for (let n = 0; n < operands.length; n++) {
      const value = silu(dot(operands[n], gateRow)) * dot(operands[n], upRow);
      output.data[output.start + n * output.stride + m] = value;
    }
  });
}

/** Visits row m of each weight, `[K]` in f32, for every m in turn. */
function forEachRow(
  weights: readonly ReferenceWeight[],
  visit: (m: number, rows: Float32Array[]) => void,
): void {
  const [{ rows, columns }] = weights;
  for (let first = 0; first < rows; first += panelRows) {
    const count = Math.min(panelRows, rows - first);
    const panels = weights.map((weight) => weight.floats(first, count));
    for (let r = 0; r < count; r++) {
      visit(
        first + r,
        panels.map((panel) => panel.subarray(r * columns, (r + 1) * columns)),
      );
    }
  }
}

/** The left operand, row by row; in fast mode as the matrix unit would see it. */
function operandRows(input: Matrix, precision: Precision): Float32Array[] {
  return Array.from({ length: input.rows }, (_, n) => {
    const row = rowOf(input, n);
    return precision === "fast" ? row.map(roundToBf16) : row;
  });
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** Exact GELU: `x / 2 · (1 + erf(x / √2))`. */
export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
}

/**
 * The error function, to about 1e-15: its Maclaurin series where that converges well, and the continued fraction of
 * its complement beyond (Abramowitz & Stegun 7.1.6 and 7.1.14).
 */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * z * z) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
  }
  let fraction = z;
  for (let n = 60; n > 0; n--) fraction = z + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * fraction));
}
