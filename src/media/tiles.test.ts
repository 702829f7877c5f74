import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MediaError, OptionError } from "../errors.ts";
import { decodeImage } from "./decode.ts";
import type { RGBImage } from "./image.ts";
import { chooseGrid, tileImage } from "./tiles.ts";

const grids = JSON.parse(readFileSync("test/golden/images/grids.json", "utf8")) as {
  image_size: number;
  rows: [number, number, number, number, number, number][];
};

/** Rows of the golden file whose grid `choose` does not give. */
function wrongRows(choose: typeof chooseGrid): number {
  let wrong = 0;
  for (const [width, height, minTiles, maxTiles, columns, rows] of grids.rows) {
    const grid = choose(width, height, { minTiles, maxTiles, tileSize: grids.image_size });
    if (grid[0] !== columns || grid[1] !== rows) wrong++;
  }
  return wrong;
}

describe("chooseGrid", () => {
  it("gives all 6,084 published grids", () => {
    expect(grids.rows.length).toBe(6084);
    expect(wrongRows(chooseGrid)).toBe(0);
  });

  it("would not, with the area rule at a tile of 512", () => {
    expect(
      wrongRows((width, height, options) => chooseGrid(width, height, { ...options, tileSize: 512 })),
    ).toBeGreaterThan(0);
  });

  it("turns on the area rule: 633x633 is one tile, 634x634 is four", () => {
    expect(chooseGrid(633, 633)).toEqual([1, 1]);
    expect(chooseGrid(634, 634)).toEqual([2, 2]);
  });

  it("stays within minTiles and maxTiles, and no other grid is nearer", () => {
    const side = fc.integer({ min: 1, max: 20_000 });
    fc.assert(
      fc.property(
        side,
        side,
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 20 }),
        (width, height, minTiles, more) => {
          const maxTiles = minTiles + more;
          const [columns, rows] = chooseGrid(width, height, { minTiles, maxTiles });
          expect(columns * rows).toBeGreaterThanOrEqual(minTiles);
          expect(columns * rows).toBeLessThanOrEqual(maxTiles);
          const difference = Math.abs(width / height - columns / rows);
          for (let area = minTiles; area <= maxTiles; area++) {
            for (let other = 1; other <= area; other++) {
              if (area % other === 0) {
                expect(Math.abs(width / height - other / (area / other))).toBeGreaterThanOrEqual(difference);
              }
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each([
    ["minTiles", { minTiles: 0 }],
    ["minTiles", { minTiles: 7, maxTiles: 6 }],
    ["maxTiles", { maxTiles: 1.5 }],
    ["maxTiles", { maxTiles: Number.POSITIVE_INFINITY }],
    ["tileSize", { tileSize: -448 }],
  ])("refuses %s in %j", (option, options) => {
    expect(() => chooseGrid(10, 10, options)).toThrow(expect.objectContaining({ option }));
  });

  it("refuses a picture without pixels", () => {
    expect(() => chooseGrid(0, 10)).toThrow(OptionError);
    expect(() => chooseGrid(10, Number.NaN)).toThrow(OptionError);
  });
});

describe("tileImage", () => {
  const image = { width: 30, height: 20, data: new Uint8Array(1800).map((_, i) => i % 251) };

  it("puts the grid row by row and the thumbnail last", () => {
    const { grid, tiles } = tileImage(image, { tileSize: 10, maxTiles: 6 });
    expect(grid).toEqual([3, 2]);
    expect(tiles.length).toBe(7);
    // At 3x2 tiles of 10 the picture keeps its size: tile 4 is column 1, row 1.
    const first = (10 * 30 + 10) * 3;
    expect(tiles[4].subarray(0, 30)).toEqual(image.data.subarray(first, first + 30));
    expect(tiles.every((tile) => tile.length === 300)).toBe(true);
  });

  it("leaves the thumbnail out when asked to, and beside a single tile", () => {
    expect(tileImage(image, { tileSize: 10, maxTiles: 6, thumbnail: false }).tiles.length).toBe(6);
    expect(tileImage(image, { tileSize: 10, maxTiles: 1 }).tiles.length).toBe(1);
  });

  it("takes any shape that a caller's limits let through", () => {
    const line = { width: 300, height: 1, data: new Uint8Array(900) };
    expect(tileImage(line, { tileSize: 4, maxTiles: 2 }).grid).toEqual([2, 1]);
  });

  it("refuses data of the wrong length", () => {
    expect(() => tileImage({ ...image, data: new Uint8Array(30 * 20 * 4) })).toThrow(MediaError);
    expect(() => tileImage({ ...image, data: new Uint8Array(30 * 20 * 4) })).toThrow(/RGBA/);
  });
});

interface GoldenTiling {
  min: number;
  max: number;
  thumbnail: boolean;
  grid: [number, number];
  tiles: { sha256: string; mean: number; corner: number[]; centre: number[] }[];
}

interface GoldenPicture {
  file: string;
  rgb_sha256: string;
  tilings: GoldenTiling[];
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function expectTilings(image: RGBImage, tilings: GoldenTiling[]): void {
  expect(tilings.length).toBeGreaterThan(0);
  for (const { min, max, thumbnail, grid, tiles } of tilings) {
    const tiling = tileImage(image, { minTiles: min, maxTiles: max, thumbnail });
    expect(tiling.grid).toEqual(grid);
    expect(tiling.tiles.map(sha256)).toEqual(tiles.map((tile) => tile.sha256));
  }
}

const hasSharp = await import("sharp").then(
  () => true,
  () => false,
);

for (const folder of ["test/golden/images", "../shared/golden/photos"]) {
  const list = `${folder}/tiles.json`;
  const pictures = existsSync(list) ? (JSON.parse(readFileSync(list, "utf8")).images as GoldenPicture[]) : [];
  describe.skipIf(pictures.length === 0)(`the tiles of ${folder.split("/").at(-1)}`, () => {
    for (const { file, rgb_sha256, tilings } of pictures) {
      it.skipIf(!hasSharp && /tiff$|cmyk/.test(file))(`of ${file} are the published ones`, async () => {
        const image = await decodeImage(readFileSync(`${folder}/${file}`));
        expect(sha256(image.data)).toBe(rgb_sha256);
        expectTilings(image, tilings);
      });
    }
  });
}

it("tells a picture from one with a single pixel one step brighter", async () => {
  const [{ file, tilings }] = JSON.parse(readFileSync("test/golden/images/tiles.json", "utf8"))
    .images as GoldenPicture[];
  const image = await decodeImage(readFileSync(`test/golden/images/${file}`));
  expectTilings(image, tilings);
  image.data[0]++;
  expect(() => expectTilings(image, tilings)).toThrow();
});
