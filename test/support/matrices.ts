import type { HostArray } from "../../src/backend/backend.ts";
import type { Matrix } from "../../src/backend/reference/matrix.ts";
import type { Weight } from "../../src/graph/tensor.ts";

/** Numbers between -1 and 1 that are the same at every run (Park and Miller's generator). */
export function randomNumbers(count: number, seed = 1): Float32Array {
  let state = (seed * 48271) % 2147483647;
  return Float32Array.from({ length: count }, () => {
    state = (state * 48271) % 2147483647;
    return (state / 2147483647) * 2 - 1;
  });
}

/** All of an array as a matrix. */
export function matrix<Data extends HostArray>(rows: number, columns: number, data: Data): Matrix<Data> {
  if (data.length !== rows * columns) throw new Error(`${data.length} values for [${rows}, ${columns}]`);
  return { data, rows, columns, start: 0, stride: columns };
}

export function randomMatrix(rows: number, columns: number, seed = 1): Matrix {
  return matrix(rows, columns, randomNumbers(rows * columns, seed));
}

export function zeros(rows: number, columns: number): Matrix {
  return matrix(rows, columns, new Float32Array(rows * columns));
}

export function u32(values: readonly number[], columns = 1): Matrix<Uint32Array> {
  return matrix(values.length / columns, columns, Uint32Array.from(values));
}

/** The same values with columns around them that no kernel may read or write: NaN, and 7 where there are only integers. */
export function widened<Data extends HostArray>(of: Matrix<Data>, left = 3, right = 2): Matrix<Data> {
  const stride = left + of.columns + right;
  const Kind = of.data.constructor as new (length: number) => Data;
  const data = new Kind(of.rows * stride);
  data.fill(of.data instanceof Float32Array ? Number.NaN : 7);
  for (let r = 0; r < of.rows; r++) {
    for (let c = 0; c < of.columns; c++) {
      data[r * stride + left + c] = of.data[of.start + r * of.stride + c];
    }
  }
  return { data, rows: of.rows, columns: of.columns, start: left, stride };
}

/** The values of a matrix, row after row, without what lies between them. */
export function valuesOf(of: Matrix<HostArray>): number[] {
  return Array.from(
    { length: of.rows * of.columns },
    (_, i) => of.data[of.start + Math.floor(i / of.columns) * of.stride + (i % of.columns)],
  );
}

/** A parameter with the values given. */
export function weightOf(name: string, rows: number, columns: number, values: ArrayLike<number>): Weight {
  return { name, rows, columns, use: "product", source: { values: Float32Array.from(values) } };
}

export function randomWeight(name: string, rows: number, columns: number, seed = 1): Weight {
  return weightOf(name, rows, columns, randomNumbers(rows * columns, seed));
}
