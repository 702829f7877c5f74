import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomNumbers } from "../../test/support/matrices.ts";
import "../../test/support/to-be-allclose.ts";
import { interpolatePositions } from "./positions.ts";

/**
 * One row of numbers, twice as many: by hand from torch's kernel with a = -0.75. Output i lies at i / 2 - 1/4, so it
 * is 3/4 past an input or 1/4 past one; the four weights at a distance t past an input are
 * a·(t³ - 2t² + t), (a+2)t³ - (a+3)t² + 1, -(a+2)t³ + (2a+3)t² - a·t, -a·(t³ - t²).
 */
function doubled(row: readonly number[], a = -0.75): number[] {
  const weights = (t: number) => [
    a * (t ** 3 - 2 * t ** 2 + t),
    (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1,
    -(a + 2) * t ** 3 + (2 * a + 3) * t ** 2 - a * t,
    -a * (t ** 3 - t ** 2),
  ];
  const at = (i: number) => row[Math.min(Math.max(i, 0), row.length - 1)];
  return row.flatMap((_, i) => {
    const [late, early] = [weights(0.75), weights(0.25)];
    return [
      late.reduce((sum, w, k) => sum + w * at(i - 2 + k), 0),
      early.reduce((sum, w, k) => sum + w * at(i - 1 + k), 0),
    ];
  });
}

/** Rows, then columns. */
function doubledTwice(table: readonly (readonly number[])[], a?: number): number[][] {
  const across = table.map((row) => doubled(row, a));
  const down = across[0].map((_, x) =>
    doubled(
      across.map((row) => row[x]),
      a,
    ),
  );
  return down[0].map((_, y) => down.map((column) => column[y]));
}

describe("interpolatePositions", () => {
  const table = [
    [1, 2, 4],
    [0, 3, -1],
    [5, -2, 2],
  ];

  it("doubles a small table as torch does by hand", () => {
    const got = interpolatePositions(Float32Array.from(table.flat()), 3, 6, 1);
    expect(got).toBeAllclose(doubledTwice(table).flat(), { within: 1e-6 });
    // The weights a quarter past an input, known exactly.
    const single = interpolatePositions(Float32Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0), 3, 6, 1);
    const [near, far] = [0.87890625, 0.26171875];
    expect([single[2 * 6 + 2], single[2 * 6 + 1]]).toBeAllclose([near * near, near * far], { within: 1e-7 });
  });

  it("is not Pillow's bicubic, whose a is -0.5", () => {
    const got = interpolatePositions(Float32Array.from(table.flat()), 3, 6, 1);
    expect(got).not.toBeAllclose(doubledTwice(table, -0.5).flat(), { within: 1e-3 });
  });

  it("does not smooth when it shrinks: to a third is every third value", () => {
    const nine = randomNumbers(81, 5);
    const want = [1, 4, 7].flatMap((y) => [1, 4, 7].map((x) => nine[y * 9 + x]));
    expect(interpolatePositions(nine, 9, 3, 1)).toBeAllclose(want, { within: 1e-7 });
  });

  const size = fc.integer({ min: 1, max: 9 });

  it("changes nothing at its own size", () => {
    const values = randomNumbers(16 * 3, 1);
    expect(interpolatePositions(values, 4, 4, 3)).toEqual(values);
  });

  it("keeps constants", () => {
    fc.assert(
      fc.property(size, size, (from, to) => {
        const got = interpolatePositions(new Float32Array(from * from * 2).fill(3), from, to, 2);
        expect(got).toBeAllclose(new Float32Array(to * to * 2).fill(3), { within: 1e-5 });
      }),
    );
  });

  it("treats every feature alike, and rows as columns", () => {
    fc.assert(
      fc.property(size, size, fc.integer({ min: 1, max: 99 }), (from, to, seed) => {
        const plain = randomNumbers(from * from, seed);
        const turned = Float32Array.from(plain, (_, i) => plain[(i % from) * from + Math.floor(i / from)]);
        const both = Float32Array.from({ length: from * from * 2 }, (_, i) =>
          i % 2 === 0 ? plain[i >> 1] : turned[i >> 1],
        );
        const got = interpolatePositions(both, from, to, 2);
        const first = interpolatePositions(plain, from, to, 1);
        expect(got.filter((_, i) => i % 2 === 0)).toEqual(first);
        const transposed = Float32Array.from(first, (_, i) => first[(i % to) * to + Math.floor(i / to)]);
        expect(got.filter((_, i) => i % 2 === 1)).toBeAllclose(transposed, { within: 1e-6 });
      }),
    );
  });
});
