import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError } from "../errors.ts";
import type { RGBImage } from "./image.ts";
import { bicubicWeights, resizeBicubic } from "./resize.ts";

interface GoldenResize {
  width: number;
  height: number;
  to_width: number;
  to_height: number;
  input: number[];
  sha256: string;
  output: number[] | null;
}

const golden = JSON.parse(readFileSync("test/golden/images/tiles.json", "utf8")).resizes as GoldenResize[];

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The resize as two plain sums, in doubles, from the same weights; `a` is the kernel's parameter. */
function plainResize(image: RGBImage, width: number, height: number, a = -0.5): Uint8Array {
  const across = bicubicWeights(image.width, width, a);
  const down = bicubicWeights(image.height, height, a);
  const round = (sum: number) => Math.min(255, Math.max(0, Math.floor((sum + 2 ** 21) / 2 ** 22)));
  const pass = (count: number, read: (tap: number) => number, weights: Int32Array, start: number) => {
    let sum = 0;
    for (let tap = 0; tap < count; tap++) sum += read(tap) * weights[start + tap];
    return round(sum);
  };
  const result = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const pixel = (row: number, column: number) => image.data[(row * image.width + column) * 3 + channel];
        const row = (tap: number) =>
          image.width === width
            ? pixel(down.first[y] + tap, x)
            : pass(
                across.count[x],
                (k) => pixel(down.first[y] + tap, across.first[x] + k),
                across.values,
                x * across.stride,
              );
        result[(y * width + x) * 3 + channel] =
          image.height === height
            ? row(y - down.first[y])
            : pass(down.count[y], row, down.values, y * down.stride);
      }
    }
  }
  return result;
}

const size = (most: number) => fc.integer({ min: 1, max: most });
const images = fc
  .tuple(size(24), size(24))
  .chain(([width, height]) =>
    fc
      .uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 })
      .map((data): RGBImage => ({ width, height, data })),
  );

describe("resizeBicubic", () => {
  for (const row of golden) {
    it(`gives Pillow's bytes for ${row.width}x${row.height} to ${row.to_width}x${row.to_height}`, () => {
      const image = { width: row.width, height: row.height, data: Uint8Array.from(row.input) };
      const resized = resizeBicubic(image, row.to_width, row.to_height);
      expect([resized.width, resized.height]).toEqual([row.to_width, row.to_height]);
      if (row.output) expect([...resized.data]).toEqual(row.output);
      expect(sha256(resized.data)).toBe(row.sha256);
    });
  }

  it("is told apart from a kernel with a = -0.75 by the same bytes", () => {
    const row = golden.find((each) => each.width === 3)!;
    const image = { width: row.width, height: row.height, data: Uint8Array.from(row.input) };
    expect([...plainResize(image, row.to_width, row.to_height)]).toEqual(row.output);
    expect([...plainResize(image, row.to_width, row.to_height, -0.75)]).not.toEqual(row.output);
  });

  it("equals the plain sums on random images and sizes", () => {
    fc.assert(
      fc.property(images, size(40), size(40), (image, width, height) => {
        expect(resizeBicubic(image, width, height).data).toEqual(plainResize(image, width, height));
      }),
      { numRuns: 60 },
    );
  });

  it("goes down before across only when over 100 times as high as wide and losing height", () => {
    const narrow = (height: number): RGBImage => ({
      width: 3,
      height,
      data: new Uint8Array(9 * height).map((_, i) => Math.imul(i, 2654435761) >>> 24),
    });
    const acrossThenDown = (image: RGBImage, height: number) =>
      sha256(resizeBicubic(resizeBicubic(image, 50, image.height), 50, height).data);
    expect(sha256(resizeBicubic(narrow(300), 50, 60).data)).toBe(acrossThenDown(narrow(300), 60));
    expect(sha256(resizeBicubic(narrow(301), 50, 60).data)).not.toBe(acrossThenDown(narrow(301), 60));
    expect(sha256(resizeBicubic(narrow(301), 50, 400).data)).toBe(acrossThenDown(narrow(301), 400));
  });

  it("copies an image that keeps its size", () => {
    fc.assert(
      fc.property(images, (image) => {
        const resized = resizeBicubic(image, image.width, image.height);
        expect(resized.data).toEqual(image.data);
        expect(resized.data).not.toBe(image.data);
      }),
      { numRuns: 20 },
    );
  });

  it("keeps one colour one colour", () => {
    fc.assert(
      fc.property(
        size(60),
        size(60),
        size(60),
        size(60),
        fc.nat(255),
        (width, height, toWidth, toHeight, level) => {
          const image = { width, height, data: new Uint8Array(width * height * 3).fill(level) };
          expect(resizeBicubic(image, toWidth, toHeight).data.every((value) => value === level)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("leaves the image it was given alone", () => {
    const image = { width: 2, height: 2, data: Uint8Array.from({ length: 12 }, (_, i) => i * 20) };
    const before = image.data.slice();
    resizeBicubic(image, 5, 1);
    expect(image.data).toEqual(before);
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses a side of %s", (side) => {
    const image = { width: 1, height: 1, data: new Uint8Array(3) };
    expect(() => resizeBicubic(image, side, 4)).toThrow(OptionError);
    expect(() => resizeBicubic(image, 4, side)).toThrow(OptionError);
  });
});
