import { describe, expect, it } from "vitest";
import { shuffleRows } from "./projector.ts";

/**
 * `pixel_shuffle` of modeling_internvl_chat.py, op for op: reshapes and permutations of an array [n, w, h, c], on
 * patches whose c = 1 value is their number. Returns [w·s · h·s, 1 / s²].
 */
function published(side: number, factor: number, version: "v1" | "v2"): number[] {
  type Array4 = { shape: number[]; at: (...index: number[]) => number };
  const view = (from: Array4, shape: number[]): Array4 => {
    const [, b, c, d] = from.shape;
    const [, B, C, D] = shape;
    return {
      shape,
      at: (i, j, k, l) => {
        const flat = ((i * B + j) * C + k) * D + l;
        return from.at(
          Math.floor(flat / (b * c * d)),
          Math.floor(flat / (c * d)) % b,
          Math.floor(flat / d) % c,
          flat % d,
        );
      },
    };
  };
  const permute0213 = (from: Array4): Array4 => {
    const [a, b, c, d] = from.shape;
    return { shape: [a, c, b, d], at: (i, j, k, l) => from.at(i, k, j, l) };
  };
  let x: Array4 = { shape: [1, side, side, 1], at: (_, w, h) => w * side + h };
  x = view(x, [1, side, side / factor, factor]);
  x = permute0213(x);
  x = view(x, [1, side / factor, side / factor, factor * factor]);
  if (version === "v2") x = permute0213(x);
  const [, rows, columns, channels] = x.shape;
  return Array.from({ length: rows * columns * channels }, (_, i) =>
    x.at(0, Math.floor(i / (columns * channels)), Math.floor(i / channels) % columns, i % channels),
  );
}

describe("shuffleRows", () => {
  it.each([
    [4, 2, "v2"],
    [4, 2, "v1"],
    [32, 2, "v2"],
    [32, 2, "v1"],
    [6, 3, "v2"],
    [6, 3, "v1"],
    [5, 1, "v2"],
  ] as const)("of %d patches a side by %d is the published %s", (side, factor, version) => {
    const want = published(side, factor, version);
    const got = shuffleRows(1, side, factor, version);
    expect([...got].map((row) => row - 1)).toEqual(want); // row 0 is the class token
    if (factor > 1) {
      const other = version === "v1" ? "v2" : "v1";
      expect([...shuffleRows(1, side, factor, other)]).not.toEqual([...got]);
    }
  });

  it("starts anew past each tile's class token", () => {
    const one = [...shuffleRows(1, 4, 2, "v2")];
    expect([...shuffleRows(3, 4, 2, "v2")]).toEqual(
      [0, 17, 34].flatMap((first) => one.map((row) => row + first)),
    );
  });

  it("takes every patch once", () => {
    expect([...shuffleRows(1, 8, 2, "v1")].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 64 }, (_, i) => i + 1),
    );
  });
});
