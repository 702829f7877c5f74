import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fakeStore } from "../../../test/support/fake-store.ts";
import {
  matrix,
  randomMatrix,
  randomNumbers,
  valuesOf,
  weightOf,
  widened,
  zeros,
} from "../../../test/support/matrices.ts";
import "../../../test/support/to-be-allclose.ts";
import { roundToBf16 } from "../../checkpoint/dtypes.ts";
import { erf, gatedMatmul, gelu, matmul } from "./matmul.ts";
import type { Matrix } from "./matrix.ts";
import { ReferenceWeight } from "./weights.ts";

/** erf as C's double-precision library has it. */
const erfValues = [
  [1e-300, 1.1283791670955126e-300],
  [1e-8, 1.1283791670955126e-8],
  [0.001, 0.0011283787909692365],
  [0.1, 0.1124629160182849],
  [0.25, 0.2763263901682369],
  [0.5, 0.5204998778130465],
  [0.75, 0.7111556336535151],
  [1, 0.8427007929497149],
  [1.25, 0.9229001282564582],
  [1.5, 0.9661051464753108],
  [1.75, 0.9866716712191824],
  [2, 0.9953222650189527],
  [2.25, 0.9985372834133188],
  [2.499999, 0.9995930458042653],
  [2.5, 0.999593047982555],
  [2.75, 0.9998993780778803],
  [3, 0.9999779095030014],
  [3.5, 0.9999992569016276],
  [4, 0.9999999845827421],
  [4.5, 0.9999999998033839],
  [5, 0.9999999999984626],
  [5.5, 0.9999999999999927],
  [6.5, 1],
] as const;

describe("erf", () => {
  it.each(erfValues)("of %d is %d, to 1e-14 of it, and odd", (x, want) => {
    expect(Math.abs(erf(x) / want - 1)).toBeLessThan(1e-14);
    expect(erf(-x)).toBe(-erf(x));
    // The check would see the sixth digit of a cheaper formula.
    expect(Math.abs((want * (1 + 1e-7)) / want - 1)).toBeGreaterThan(1e-14);
  });

  it("knows its ends", () => {
    expect(erf(0)).toBe(0);
    expect(erf(Infinity)).toBe(1);
    expect(erf(-Infinity)).toBe(-1);
    expect(erf(Number.NaN)).toBeNaN();
  });

  it("never falls, where its two formulas meet neither", () => {
    let before = erf(2.4);
    for (let x = 2.4; x < 2.6; x += 1e-4) {
      expect(erf(x)).toBeGreaterThanOrEqual(before);
      before = erf(x);
    }
  });
});

describe("gelu", () => {
  const values = [
    [-5, -1.4332578593401202e-6],
    [-1, -0.15865525393145707],
    [-0.1, -0.0460172162722971],
    [0, 0],
    [0.3, 0.18537342665668577],
    [1, 0.8413447460685429],
    [2, 1.9544997361036416],
    [4, 3.9998733150326675],
  ] as const;

  it.each(values)("of %d is %d", (x, want) => expect(gelu(x)).toBeCloseTo(want, 13));

  it("is the exact one: the one by tanh is up to 0.0005 off", () => {
    const byTanh = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    const xs = Array.from({ length: 801 }, (_, i) => i / 100 - 4);
    const apart = Math.max(...xs.map((x) => Math.abs(gelu(x) - byTanh(x))));
    expect(apart).toBeGreaterThan(0.0003);
    expect(apart).toBeLessThan(0.0006);
  });
});

/** Σ input[n][k] · weight[m][k], in the plainest order. */
function product(
  input: Matrix,
  weight: Float32Array,
  n: number,
  m: number,
  round = (x: number) => x,
): number {
  let sum = 0;
  for (let k = 0; k < input.columns; k++) {
    sum += round(input.data[input.start + n * input.stride + k]) * weight[m * input.columns + k];
  }
  return sum;
}

const load = (rows: number, columns: number, values: Float32Array) =>
  ReferenceWeight.load(weightOf("w", rows, columns, values), fakeStore(new Map()));

// Rows, inputs and outputs: one of each, odd numbers, and more than a panel of 32 rows.
const shapes = [
  [1, 1, 1],
  [1, 5, 3],
  [3, 7, 33],
  [5, 64, 31],
  [2, 3, 65],
] as const;

describe("matmul", () => {
  it.each(shapes)("of [%d, %d] gives %d columns", async (n, k, m) => {
    const input = widened(randomMatrix(n, k, 1));
    const values = randomNumbers(m * k, 2);
    const output = widened(zeros(n, m));
    matmul(input, await load(m, k, values), {}, output, "f32");
    const want = Array.from({ length: n * m }, (_, i) => product(input, values, Math.floor(i / m), i % m));
    expect(valuesOf(output)).toBeAllclose(want, { within: 1e-6 });
    // The same comparison rejects a product with one weight off.
    values[0] += 0.01;
    const off = Array.from({ length: n * m }, (_, i) => product(input, values, Math.floor(i / m), i % m));
    expect(valuesOf(output)).not.toBeAllclose(off, { within: 1e-6 });
    // What lies around the output is untouched.
    expect(output.data.filter(Number.isNaN)).toHaveLength(n * 5);
  });

  it("applies its epilogue in order: bias, activation, scale, residual, table", async () => {
    const [n, k, m] = [7, 5, 3];
    const input = randomMatrix(n, k, 1);
    const values = randomNumbers(m * k, 2);
    const [bias, scale] = [randomNumbers(m, 3), randomNumbers(m, 4)];
    const residual = widened(randomMatrix(n, m, 5));
    const table = randomMatrix(2, m, 6); // repeats every second row
    const output = zeros(n, m);
    const epilogue = { bias, activation: "gelu", scale, residual, table } as const;
    matmul(input, await load(m, k, values), epilogue, output, "f32");
    const want = Array.from({ length: n * m }, (_, i) => {
      const [row, column] = [Math.floor(i / m), i % m];
      const activated = gelu(product(input, values, row, column) + bias[column]);
      return activated * scale[column] + valuesOf(residual)[i] + table.data[(row % 2) * m + column];
    });
    expect(valuesOf(output)).toBeAllclose(want, { within: 1e-6 });
  });

  it("may write over its own residual", async () => {
    const stream = randomMatrix(2, 4, 1);
    const before = valuesOf(stream);
    const values = randomNumbers(16, 2);
    const input = randomMatrix(2, 4, 3);
    matmul(input, await load(4, 4, values), { residual: stream }, stream, "f32");
    const want = before.map((x, i) => x + product(input, values, Math.floor(i / 4), i % 4));
    expect(valuesOf(stream)).toBeAllclose(want, { within: 1e-6 });
  });

  it("rounds its left operand to bf16 in fast mode, and nothing else", async () => {
    const [n, k, m] = [3, 17, 4];
    const input = randomMatrix(n, k, 1);
    const values = randomNumbers(m * k, 2);
    const [bias, output] = [randomNumbers(m, 3), zeros(n, m)];
    const kept = valuesOf(input);
    matmul(input, await load(m, k, values), { bias }, output, "fast");
    const want = (round: (x: number) => number) =>
      Array.from(
        { length: n * m },
        (_, i) => product(input, values, Math.floor(i / m), i % m, round) + bias[i % m],
      );
    expect(valuesOf(output)).toBeAllclose(want(roundToBf16), { within: 1e-6 });
    expect(valuesOf(output)).not.toBeAllclose(
      want((x) => x),
      { within: 1e-6 },
    );
    expect(valuesOf(input)).toEqual(kept);
  });

  it("gives a row the same values whatever rows stand around it", async () => {
    const weight = await load(33, 9, randomNumbers(33 * 9, 2));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(), (rows, seed) => {
        const input = randomMatrix(rows, 9, seed % 1000);
        const together = zeros(rows, 33);
        matmul(input, weight, { activation: "gelu" }, together, "fast");
        const alone = zeros(1, 33);
        const last = matrix(1, 9, input.data.subarray((rows - 1) * 9));
        matmul(last, weight, { activation: "gelu" }, alone, "fast");
        expect(together.data.subarray((rows - 1) * 33)).toEqual(alone.data);
      }),
    );
  });
});

describe("gatedMatmul", () => {
  it.each(shapes)("of [%d, %d] gives %d columns", async (n, k, m) => {
    const input = widened(randomMatrix(n, k, 1));
    const [gate, up] = [randomNumbers(m * k, 2), randomNumbers(m * k, 3)];
    const output = widened(zeros(n, m));
    gatedMatmul(input, await load(m, k, gate), await load(m, k, up), output, "f32");
    const want = (a: Float32Array, b: Float32Array) =>
      Array.from({ length: n * m }, (_, i) => {
        const [row, column] = [Math.floor(i / m), i % m];
        const g = product(input, a, row, column);
        return (g / (1 + Math.exp(-g))) * product(input, b, row, column);
      });
    expect(valuesOf(output)).toBeAllclose(want(gate, up), { within: 1e-5 });
    // Gate and up exchanged is another function.
    expect(valuesOf(output)).not.toBeAllclose(want(up, gate), { within: 1e-5 });
  });

  it("stands very large gates", async () => {
    const output = zeros(1, 2);
    const gate = await load(2, 1, Float32Array.of(-1000, 1000));
    gatedMatmul(
      matrix(1, 1, Float32Array.of(1)),
      gate,
      await load(2, 1, Float32Array.of(1, 1)),
      output,
      "f32",
    );
    expect(valuesOf(output)).toEqual([-0, 1000]);
  });
});
