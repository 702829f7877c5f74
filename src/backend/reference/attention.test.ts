import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  randomMatrix,
  randomNumbers,
  u32,
  valuesOf,
  widened,
  zeros,
} from "../../../test/support/matrices.ts";
import "../../../test/support/to-be-allclose.ts";
import { attention, pagedAttention } from "./attention.ts";
import { ReferenceCache } from "./cache.ts";
import { type Matrix, rowOf } from "./matrix.ts";

/**
 * Attention as a textbook writes it, for one group of rows: softmax(Q Kᵀ / √d) V, head by head, where `sees` says which
 * keys a query sees and heads / keyValueHeads query heads share a key-value head.
 */
function textbook(
  query: number[][],
  key: number[][],
  value: number[][],
  heads: { heads: number; keyValueHeads: number; headSize: number },
  sees: (n: number, j: number) => boolean = () => true,
): number[] {
  const { headSize: d } = heads;
  return query.flatMap((q, n) =>
    Array.from({ length: heads.heads }, (_, head) => {
      const shared = Math.floor(head / (heads.heads / heads.keyValueHeads));
      const scores = key.map((k, j) => {
        if (!sees(n, j)) return 0;
        let sum = 0;
        for (let i = 0; i < d; i++) sum += q[head * d + i] * k[shared * d + i];
        return Math.exp(sum / Math.sqrt(d));
      });
      const total = scores.reduce((a, b) => a + b, 0);
      return Array.from({ length: d }, (_, i) =>
        scores.reduce((sum, score, j) => sum + (score / total) * value[j][shared * d + i], 0),
      );
    }).flat(),
  );
}

const rowsOf = (of: Matrix, first = 0, count = of.rows) =>
  Array.from({ length: count }, (_, r) => [...rowOf(of, first + r)]);

describe("attention", () => {
  it.each([
    [1, 1, 1, 1],
    [2, 3, 2, 5],
    [3, 1, 3, 2],
    [1, 9, 1, 7],
  ])(
    "of %d groups of %d rows with %d heads of %d stays inside each group",
    (groups, groupRows, heads, headSize) => {
      const [rows, columns] = [groups * groupRows, heads * headSize];
      const [query, key, value] = [1, 2, 3].map((seed) => widened(randomMatrix(rows, columns, seed)));
      const output = widened(zeros(rows, columns));
      attention(query, key, value, { heads, headSize, groupRows }, output);
      const want = Array.from({ length: groups }, (_, g) => {
        const part = (of: Matrix) => rowsOf(of, g * groupRows, groupRows);
        return textbook(part(query), part(key), part(value), { heads, keyValueHeads: heads, headSize });
      }).flat();
      expect(valuesOf(output)).toBeAllclose(want, { within: 1e-6 });
      if (groupRows > 1) {
        const unscaled = textbook(
          rowsOf(query),
          rowsOf(key),
          rowsOf(value),
          {
            heads,
            keyValueHeads: heads,
            headSize,
          },
          (n, j) => n >= j,
        );
        expect(valuesOf(output)).not.toBeAllclose(unscaled, { within: 1e-6 }); // it is not causal
      }
    },
  );

  it("weighs to one: equal values come out as they are", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 999 }), (rows, seed) => {
        const [query, key] = [randomMatrix(rows, 6, seed), randomMatrix(rows, 6, seed + 1)];
        const value = zeros(rows, 6);
        for (let n = 0; n < rows; n++) rowOf(value, n).set([1, -2, 3, 0.5, 100, 0]);
        const output = zeros(rows, 6);
        attention(query, key, value, { heads: 2, headSize: 3, groupRows: rows }, output);
        for (const row of rowsOf(output)) expect(row).toBeAllclose([1, -2, 3, 0.5, 100, 0], { within: 1e-4 });
      }),
    );
  });

  it("stands scores that no exponential could", () => {
    const query = { ...zeros(2, 1), data: Float32Array.of(1e4, -1e4) };
    const key = { ...zeros(2, 1), data: Float32Array.of(1e4, -1e4) };
    const value = { ...zeros(2, 1), data: Float32Array.of(3, 5) };
    const output = zeros(2, 1);
    attention(query, key, value, { heads: 1, headSize: 1, groupRows: 2 }, output);
    expect(valuesOf(output)).toEqual([3, 5]);
  });
});

const sizes = { heads: 4, keyValueHeads: 2, headSize: 3 };
const width = sizes.keyValueHeads * sizes.headSize;

/** A sequence's keys and values, `[length, keyValueHeads * headSize]`, and queries `[length, heads * headSize]`. */
function sequence(length: number, seed: number) {
  return {
    query: randomMatrix(length, sizes.heads * sizes.headSize, seed),
    key: randomMatrix(length, width, seed + 1),
    value: randomMatrix(length, width, seed + 2),
  };
}

/** Writes a sequence into the pages given, in their order. */
function fill(
  cache: ReferenceCache,
  layer: number,
  pages: readonly number[],
  { key, value }: ReturnType<typeof sequence>,
) {
  const { pageSize } = cache.layout;
  for (let position = 0; position < key.rows; position++) {
    const slot = pages[Math.floor(position / pageSize)] * pageSize + (position % pageSize);
    cache.key(layer, slot).set(rowOf(key, position));
    cache.value(layer, slot).set(rowOf(value, position));
  }
}

/** A random order of 0 … count - 1. */
const orderOf = (count: number) =>
  fc.shuffledSubarray([...Array(count).keys()], { minLength: count, maxLength: count });

describe("pagedAttention", () => {
  it("is causal attention, wherever its pages lie and however the new tokens are cut", () => {
    const length = fc.integer({ min: 1, max: 23 });
    const pageSize = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(
        length,
        pageSize,
        orderOf(25),
        fc.nat(1000),
        fc.nat(22),
        (tokens, size, pages, seed, cut) => {
          const given = sequence(tokens, seed);
          const layout = { layers: 2, keyValueHeads: 2, headSize: 3, pageSize: size };
          const cache = new ReferenceCache(layout, 25);
          fill(cache, 1, pages, given);
          const table = u32(pages, pages.length);
          const want = textbook(
            rowsOf(given.query),
            rowsOf(given.key),
            rowsOf(given.value),
            sizes,
            (n, j) => j <= n,
          );
          const run = (from: number, to: number) => {
            const output = widened(zeros(to - from, 12));
            const query = { ...given.query, rows: to - from, start: from * 12 };
            const batch = { starts: u32([0, to - from]), lengths: u32([to]), pages: table };
            pagedAttention(query, batch, { layer: 1, heads: 4 }, cache, output);
            return valuesOf(output);
          };
          const first = cut % tokens;
          const pieces = [...(first > 0 ? run(0, first) : []), ...run(first, tokens)];
          expect(pieces).toBeAllclose(want, { within: 1e-5 });
          // In pieces or at once: the same bits.
          expect(pieces).toEqual(run(0, tokens));
        },
      ),
    );
  });

  it("gives each sequence of a batch what it gets alone", () => {
    const lengths = [5, 1, 8];
    const fresh = [5, 1, 3]; // a prompt, one token of decode, the end of a prompt
    const pages = [[7, 2], [0], [5, 1]];
    const cache = new ReferenceCache({ layers: 1, keyValueHeads: 2, headSize: 3, pageSize: 4 }, 8);
    const all = lengths.map((length, b) => sequence(length, 10 * (b + 1)));
    all.forEach((each, b) => {
      fill(cache, 0, pages[b], each);
    });
    const ends = all.map(({ query }, b) => rowsOf(query, lengths[b] - fresh[b], fresh[b]));
    const run = (which: number[]) => {
      const rows = which.flatMap((b) => ends[b]);
      const query = { ...zeros(rows.length, 12), data: Float32Array.from(rows.flat()) };
      const starts = [0];
      for (const b of which) starts.push(starts.at(-1)! + fresh[b]);
      const batch = {
        starts: u32(starts),
        lengths: u32(which.map((b) => lengths[b])),
        pages: widened(
          u32(
            which.flatMap((b) => [...pages[b], 99, 99].slice(0, 2)),
            2,
          ),
        ),
      };
      const output = zeros(rows.length, 12);
      pagedAttention(query, batch, { layer: 0, heads: 4 }, cache, output);
      return rowsOf(output);
    };
    expect(run([0, 1, 2])).toEqual([...run([0]), ...run([1]), ...run([2])]);
    expect(run([2, 0])).toEqual([...run([2]), ...run([0])]);
  });

  it("reads a page that two sequences share", () => {
    const cache = new ReferenceCache({ layers: 1, keyValueHeads: 2, headSize: 3, pageSize: 4 }, 3);
    const shared = sequence(4, 1);
    fill(cache, 0, [1], shared);
    const query = {
      ...zeros(2, 12),
      data: Float32Array.from([...randomNumbers(12, 5), ...randomNumbers(12, 5)]),
    };
    const output = zeros(2, 12);
    const batch = { starts: u32([0, 1, 2]), lengths: u32([4, 4]), pages: u32([1, 1]) };
    pagedAttention(query, batch, { layer: 0, heads: 4 }, cache, output);
    expect(rowsOf(output)[0]).toEqual(rowsOf(output)[1]);
  });

  it("is another function when a page is exchanged", () => {
    const cache = new ReferenceCache({ layers: 1, keyValueHeads: 2, headSize: 3, pageSize: 2 }, 4);
    const given = sequence(4, 1);
    fill(cache, 0, [3, 1], given);
    const want = textbook(
      rowsOf(given.query),
      rowsOf(given.key),
      rowsOf(given.value),
      sizes,
      (n, j) => j <= n,
    );
    const run = (pages: number[]) => {
      const output = zeros(4, 12);
      const batch = { starts: u32([0, 4]), lengths: u32([4]), pages: u32(pages, 2) };
      pagedAttention(given.query, batch, { layer: 0, heads: 4 }, cache, output);
      return valuesOf(output);
    };
    expect(run([3, 1])).toBeAllclose(want, { within: 1e-6 });
    expect(run([1, 3])).not.toBeAllclose(want, { within: 1e-6 });
  });
});
