import { describe, expect, it } from "vitest";
import { randomMatrix, randomNumbers, valuesOf, widened, zeros } from "../../../test/support/matrices.ts";
import "../../../test/support/to-be-allclose.ts";
import { layerNorm, rmsNorm } from "./norms.ts";

const sizes = [
  [1, 1],
  [3, 7],
  [2, 128],
  [5, 33],
] as const;

/** By moments of the whole row, not by passes: E[x²] - E[x]². */
function layerNormOf(x: number[], weight: Float32Array, bias: Float32Array, epsilon: number): number[] {
  const mean = x.reduce((sum, value) => sum + value / x.length, 0);
  const square = x.reduce((sum, value) => sum + value ** 2 / x.length, 0);
  return x.map(
    (value, i) => ((value - mean) / Math.sqrt(square - mean ** 2 + epsilon)) * weight[i] + bias[i],
  );
}

function rmsNormOf(x: number[], weight: Float32Array, epsilon: number): number[] {
  const root = Math.sqrt(x.reduce((sum, value) => sum + value ** 2, 0) / x.length + epsilon);
  return x.map((value, i) => (value / root) * weight[i]);
}

describe.each(sizes)("over [%d, %d]", (rows, columns) => {
  const input = widened(randomMatrix(rows, columns, 1));
  const [weight, bias] = [randomNumbers(columns, 2), randomNumbers(columns, 3)];
  const rowsOf = (values: number[]) =>
    Array.from({ length: rows }, (_, r) => values.slice(r * columns, (r + 1) * columns));

  it("layerNorm takes mean and biased variance of each row", () => {
    const output = widened(zeros(rows, columns));
    layerNorm(input, weight, bias, 1e-6, output);
    const want = rowsOf(valuesOf(input)).flatMap((row) => layerNormOf(row, weight, bias, 1e-6));
    expect(valuesOf(output)).toBeAllclose(want, { within: 1e-5 });
  });

  it("rmsNorm takes the mean of the squares of each row", () => {
    const output = widened(zeros(rows, columns));
    rmsNorm(input, weight, 1e-5, output);
    const want = (epsilon: number) =>
      rowsOf(valuesOf(input)).flatMap((row) => rmsNormOf(row, weight, epsilon));
    expect(valuesOf(output)).toBeAllclose(want(1e-5), { within: 1e-6 });
    expect(valuesOf(output)).not.toBeAllclose(want(0.1), { within: 1e-6 });
  });
});

describe("layerNorm", () => {
  it("gives the bias where a row is constant, and divides by the biased deviation", () => {
    const output = zeros(1, 4);
    const row = { ...zeros(1, 4), data: Float32Array.of(5, 5, 5, 5) };
    layerNorm(row, randomNumbers(4), Float32Array.of(1, 2, 3, 4), 1e-6, output);
    expect(valuesOf(output)).toEqual([1, 2, 3, 4]);
    const two = { ...zeros(1, 2), data: Float32Array.of(-1, 1) };
    const ones = zeros(1, 2);
    layerNorm(two, Float32Array.of(1, 1), Float32Array.of(0, 0), 0, ones);
    expect(valuesOf(ones)).toEqual([-1, 1]); // by √(1/n), not √(1/(n - 1))
  });

  it("keeps its precision far from zero", () => {
    const far = { ...zeros(1, 2), data: Float32Array.of(10000, 10002) };
    const output = zeros(1, 2);
    layerNorm(far, Float32Array.of(1, 1), Float32Array.of(0, 0), 0, output);
    expect(valuesOf(output)).toEqual([-1, 1]);
  });
});

describe("epsilon", () => {
  it("stands beside the variance, under the root", () => {
    const small = { ...zeros(1, 2), data: Float32Array.of(-1e-3, 1e-3) };
    const output = zeros(1, 2);
    const [one, none] = [Float32Array.of(1, 1), Float32Array.of(0, 0)];
    layerNorm(small, one, none, 1e-6, output);
    expect(valuesOf(output)).toBeAllclose([-Math.SQRT1_2, Math.SQRT1_2], { within: 1e-6 });
    rmsNorm(small, one, 3e-6, output);
    expect(valuesOf(output)).toBeAllclose([-0.5, 0.5], { within: 1e-6 });
  });
});
