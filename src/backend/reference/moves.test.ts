import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fakeStore } from "../../../test/support/fake-store.ts";
import {
  matrix,
  randomMatrix,
  randomNumbers,
  u32,
  valuesOf,
  weightOf,
  widened,
  zeros,
} from "../../../test/support/matrices.ts";
import "../../../test/support/to-be-allclose.ts";
import type { Patches } from "../../graph/operations.ts";
import { Recorder } from "../../graph/recorder.ts";
import { rowOf } from "./matrix.ts";
import { embed, gatherRows, patches, scatterRows } from "./moves.ts";
import { ReferenceWeight } from "./weights.ts";

describe("embed", () => {
  it("takes rows of the table, the same one as often as asked", async () => {
    const values = randomNumbers(15, 1);
    const table = await ReferenceWeight.load(weightOf("table", 5, 3, values), fakeStore(new Map()));
    const output = widened(zeros(4, 3));
    embed(table, u32([4, 0, 4, 2]), output);
    const want = [4, 0, 4, 2].flatMap((id) => [...values.subarray(id * 3, id * 3 + 3)]);
    expect(valuesOf(output)).toEqual(want);
  });

  it("refuses a token that the table does not have", async () => {
    const table = await ReferenceWeight.load(
      weightOf("table", 5, 3, randomNumbers(15)),
      fakeStore(new Map()),
    );
    expect(() => embed(table, u32([5]), zeros(1, 3))).toThrow(
      "token 5 is beyond the embedding table of 5 rows",
    );
  });
});

describe("gatherRows and scatterRows", () => {
  it("gather puts the rows named beside each other", () => {
    const input = widened(randomMatrix(4, 2, 1));
    const output = widened(zeros(2, 6));
    gatherRows(input, u32([3, 0, 1, 1, 2, 3], 3), output);
    const row = (r: number) => valuesOf(input).slice(2 * r, 2 * r + 2);
    expect(valuesOf(output)).toEqual([3, 0, 1, 1, 2, 3].flatMap(row));
  });

  it("scatter leaves the other rows as they are", () => {
    const target = widened(randomMatrix(4, 3, 1));
    const source = widened(randomMatrix(2, 3, 2));
    const before = valuesOf(target);
    scatterRows(target, source, u32([3, 1]));
    const from = (values: number[], r: number) => values.slice(3 * r, 3 * r + 3);
    expect(valuesOf(target)).toEqual([
      ...from(before, 0),
      ...from(valuesOf(source), 1),
      ...from(before, 2),
      ...from(valuesOf(source), 0),
    ]);
  });

  it("gather undoes scatter", () => {
    const places = fc.uniqueArray(fc.nat(29), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(places, fc.integer({ min: 1, max: 5 }), fc.nat(1000), (rows, columns, seed) => {
        const source = randomMatrix(rows.length, columns, seed);
        const target = randomMatrix(30, columns, seed + 1);
        scatterRows(target, source, u32(rows));
        const back = zeros(rows.length, columns);
        gatherRows(target, u32(rows), back);
        expect(back.data).toEqual(source.data);
      }),
    );
  });
});

/** The operation for tiles of a size, as the recorder makes it. */
function operation(tileSize: number, patchSize: number, tiles: number): Patches {
  const g = new Recorder("patches");
  g.patches(g.input("tiles", "u8", tiles, tileSize * tileSize * 3), {
    tileSize,
    patchSize,
    mean: [0.485, 0.456, 0.406],
    deviation: [0.229, 0.224, 0.225],
  });
  return g.finish().operations[0] as Patches;
}

describe("patches", () => {
  it.each([
    [4, 2, 1],
    [6, 2, 2],
    [9, 3, 3],
    [5, 5, 1],
  ])("cuts tiles of %d pixels into patches of %d, channel by channel", (size, patch, tiles) => {
    const side = size / patch;
    const pixels = Uint8Array.from({ length: tiles * size * size * 3 }, (_, i) => (i * 37) % 256);
    const given = matrix(tiles, size * size * 3, pixels);
    const output = widened(zeros(tiles * (1 + side * side), 3 * patch * patch));
    patches(given, operation(size, patch, tiles), output);
    const want: number[] = [];
    for (let t = 0; t < tiles; t++) {
      want.push(...Array.from({ length: 3 * patch * patch }, () => 0));
      for (let py = 0; py < side; py++) {
        for (let px = 0; px < side; px++) {
          for (let c = 0; c < 3; c++) {
            for (let y = py * patch; y < (py + 1) * patch; y++) {
              for (let x = px * patch; x < (px + 1) * patch; x++) {
                const value = pixels[((t * size + y) * size + x) * 3 + c] / 255;
                want.push((value - [0.485, 0.456, 0.406][c]) / [0.229, 0.224, 0.225][c]);
              }
            }
          }
        }
      }
    }
    expect(valuesOf(output)).toBeAllclose(want, { within: 1e-6 });
  });

  it("normalises as torchvision does", () => {
    // What transforms.ToTensor and transforms.Normalize make of 0, 128 and 255, for red, green and blue.
    const known = new Map([
      [0, [-2.1179039, -2.0357141, -1.8044444]],
      [128, [0.0740646, 0.2051822, 0.4264926]],
      [255, [2.2489083, 2.4285715, 2.6400001]],
    ]);
    for (const [level, want] of known) {
      const output = zeros(2, 3);
      patches(matrix(1, 3, Uint8Array.of(level, level, level)), operation(1, 1, 1), output);
      expect(rowOf(output, 1)).toBeAllclose(want, { within: 5e-7 });
      expect(rowOf(output, 1)).not.toBeAllclose([...want].reverse(), { within: 5e-7 });
    }
  });
});
