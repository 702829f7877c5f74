import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  matrix,
  randomMatrix,
  randomNumbers,
  u32,
  valuesOf,
  widened,
  zeros,
} from "../../../test/support/matrices.ts";
import "../../../test/support/to-be-allclose.ts";
import { ReferenceCache } from "./cache.ts";
import { dot, type Matrix } from "./matrix.ts";
import { rotary } from "./rotary.ts";

const layout = { layers: 2, keyValueHeads: 1, headSize: 6, pageSize: 4 };

/** The angles of positions, `[N, headSize]`, under plain frequencies. */
function anglesAt(positions: readonly number[], headSize: number): Matrix {
  const half = headSize / 2;
  const values = positions.flatMap((position) => {
    const turns = Array.from({ length: half }, (_, i) => position * 10000 ** (-i / half));
    return [...turns.map(Math.cos), ...turns.map(Math.sin)];
  });
  return matrix(positions.length, headSize, Float32Array.from(values));
}

/** One head turned to a position. */
function turned(vector: Float32Array, position: number): Float32Array {
  const headSize = vector.length;
  const cache = new ReferenceCache({ layers: 1, keyValueHeads: 1, headSize, pageSize: 1 }, 1);
  const output = zeros(1, headSize);
  const row = matrix(1, headSize, vector);
  const slots = u32([0]);
  rotary(
    { query: row, key: row, value: row, angles: anglesAt([position], headSize), slots },
    0,
    cache,
    output,
  );
  expect(cache.key(0, 0)).toEqual(output.data); // k is turned as q is
  return output.data;
}

describe("rotary", () => {
  it("turns pairs that stand half a head apart, in every head by the same angles", () => {
    const heads = 2;
    const query = widened(randomMatrix(3, heads * 6, 1));
    const [key, value] = [widened(randomMatrix(3, 6, 2)), widened(randomMatrix(3, 6, 3))];
    const angles = anglesAt([0, 1, 7], 6);
    const cache = new ReferenceCache(layout, 3);
    const output = widened(zeros(3, heads * 6));
    const slots = u32([9, 2, 4]);
    rotary({ query, key, value, angles, slots }, 1, cache, output);
    const turn = (head: number[], n: number) =>
      head.map((x, i) => {
        const angle = [0, 1, 7][n] * 10000 ** ((-2 * (i % 3)) / 6);
        const partner = i < 3 ? -head[i + 3] : head[i - 3];
        return x * Math.cos(angle) + partner * Math.sin(angle);
      });
    const cut = (values: number[]) =>
      Array.from({ length: values.length / 6 }, (_, i) => values.slice(i * 6, (i + 1) * 6));
    const wantQuery = cut(valuesOf(query)).flatMap((head, i) => turn(head, Math.floor(i / heads)));
    expect(valuesOf(output)).toBeAllclose(wantQuery, { within: 1e-6 });
    cut(valuesOf(key)).forEach((head, n) => {
      expect(cache.key(1, slots.data[n])).toBeAllclose(turn(head, n), { within: 1e-6 });
      expect([...cache.value(1, slots.data[n])]).toEqual(cut(valuesOf(value))[n]);
    });
    // Pairs of neighbours, as other models have them, are something else.
    const neighbours = cut(valuesOf(query)).flatMap((head, h) =>
      head.map((x, i) => {
        const angle = [0, 1, 7][Math.floor(h / heads)] * 10000 ** ((-2 * Math.floor(i / 2)) / 6);
        return x * Math.cos(angle) + (i % 2 === 0 ? -head[i + 1] : head[i - 1]) * Math.sin(angle);
      }),
    );
    expect(valuesOf(output)).not.toBeAllclose(neighbours, { within: 1e-6 });
  });

  it("writes its layer and slots only", () => {
    const cache = new ReferenceCache(layout, 2);
    const row = randomMatrix(1, 6, 1);
    const values = { query: row, key: row, value: row, angles: anglesAt([3], 6), slots: u32([5]) };
    rotary(values, 1, cache, zeros(1, 6));
    for (const layer of [0, 1]) {
      for (let slot = 0; slot < 8; slot++) {
        const written = layer === 1 && slot === 5;
        expect(cache.key(layer, slot).some((x) => x !== 0)).toBe(written);
        expect(cache.value(layer, slot).some((x) => x !== 0)).toBe(written);
      }
    }
  });

  it("refuses a slot beyond the cache", () => {
    const row = randomMatrix(1, 6, 1);
    const values = { query: row, key: row, value: row, angles: anglesAt([3], 6), slots: u32([8]) };
    expect(() => rotary(values, 0, new ReferenceCache(layout, 2), zeros(1, 6))).toThrow(RangeError);
  });

  const position = fc.integer({ min: 0, max: 4000 });
  const seed = fc.integer({ min: 1, max: 1000 });
  const even = fc.integer({ min: 1, max: 32 }).map((half) => half * 2);

  it("keeps lengths", () => {
    fc.assert(
      fc.property(position, seed, even, (at, from, size) => {
        const vector = randomNumbers(size, from);
        const after = turned(vector, at);
        expect(dot(after, after)).toBeCloseTo(dot(vector, vector), 4);
      }),
    );
  });

  it("makes products depend on the distance of positions alone", () => {
    fc.assert(
      fc.property(position, position, fc.nat(2000), seed, even, (a, b, shift, from, size) => {
        const [q, k] = [randomNumbers(size, from), randomNumbers(size, from + 1)];
        const near = dot(turned(q, a), turned(k, b));
        expect(dot(turned(q, a + shift), turned(k, b + shift))).toBeCloseTo(near, 4);
      }),
    );
  });

  it("and not on nothing: another distance gives another product", () => {
    const [q, k] = [randomNumbers(8, 1), randomNumbers(8, 2)];
    expect(Math.abs(dot(turned(q, 3), turned(k, 1)) - dot(turned(q, 4), turned(k, 1)))).toBeGreaterThan(1e-3);
  });
});
