/**
 * How InternVL cuts a picture into square tiles: the grid nearest to its shape, the picture stretched to that grid,
 * and, beside several tiles, the whole picture as one more (`dynamic_preprocess` of the published inference code).
 */

import { OptionError } from "../errors.ts";
import { checkRGBImage, type RGBImage } from "./image.ts";
import { resizeBicubic } from "./resize.ts";

export interface GridOptions {
  /** Fewest tiles, without the thumbnail (published name `min_num`). 1 when not given. */
  minTiles?: number;
  /** Most tiles, without the thumbnail (published name `max_num`). 12 when not given. */
  maxTiles?: number;
  /** Pixels along a tile's side (published name `image_size`). 448 when not given. */
  tileSize?: number;
}

export interface TileOptions extends GridOptions {
  /** Add the whole picture as the last tile when there are several (published name `use_thumbnail`). */
  thumbnail?: boolean;
}

export interface Tiling {
  /** `[columns, rows]` */
  grid: [number, number];
  /** Each `[tileSize, tileSize, 3]` RGB: the grid row by row, then the thumbnail if there is one. */
  tiles: Uint8Array[];
}

/** Tiles beyond this are a mistake in the call: 1,000 tiles are 256,000 tokens of context. */
const mostTiles = 1000;

function checkCount(option: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new OptionError(option, value, `must be a whole number from 1 to ${most}`);
  }
}

/**
 * The grid of tiles for a picture (InternVL `find_closest_aspect_ratio` over the candidates of
 * `dynamic_preprocess`): of all grids with `minTiles` to `maxTiles` tiles, smallest first, the one whose shape
 * `columns / rows` is nearest to `width / height`; a later grid that is equally near replaces it when the picture has
 * more than half of that grid's pixels.
 *
 * With `minTiles` 1 no two grids of one area are ever both nearest. Above that they can be (aspect ratio 5/4 with 2 to
 * 3 tiles); the published code then goes by the order of a Python set, this one by columns, fewest first.
 *
 * @returns `[columns, rows]`
 * @throws OptionError
 */
export function chooseGrid(width: number, height: number, options: GridOptions = {}): [number, number] {
  const { minTiles = 1, maxTiles = 12, tileSize = 448 } = options;
  checkCount("width", width, Number.MAX_SAFE_INTEGER);
  checkCount("height", height, Number.MAX_SAFE_INTEGER);
  checkCount("maxTiles", maxTiles, mostTiles);
  checkCount("minTiles", minTiles, maxTiles);
  checkCount("tileSize", tileSize, 1 << 14);
  const aspectRatio = width / height;
  let best: [number, number] = [1, 1];
  let bestDifference = Number.POSITIVE_INFINITY;
  for (let area = minTiles; area <= maxTiles; area++) {
    for (let columns = 1; columns <= area; columns++) {
      if (area % columns !== 0) continue;
      const rows = area / columns;
      const difference = Math.abs(aspectRatio - columns / rows);
      const replaces =
        difference < bestDifference ||
        (difference === bestDifference && width * height > 0.5 * tileSize * tileSize * columns * rows);
      if (!replaces) continue;
      best = [columns, rows];
      bestDifference = difference;
    }
  }
  return best;
}

/** Tile `[column, row]` of an image whose sides are multiples of `tileSize`: `[tileSize, tileSize, 3]`. */
function crop(image: RGBImage, column: number, row: number, tileSize: number): Uint8Array {
  const rowBytes = tileSize * 3;
  const tile = new Uint8Array(tileSize * rowBytes);
  for (let y = 0; y < tileSize; y++) {
    const start = ((row * tileSize + y) * image.width + column * tileSize) * 3;
    tile.set(image.data.subarray(start, start + rowBytes), y * rowBytes);
  }
  return tile;
}

/**
 * Cuts a picture into tiles (InternVL `dynamic_preprocess`): stretch to the grid of `chooseGrid` with Pillow's
 * bicubic resize, cut row by row, and append the thumbnail when there is more than one tile.
 *
 * @throws OptionError, MediaError when `image.data` does not have `width * height * 3` bytes
 */
export function tileImage(image: RGBImage, options: TileOptions = {}): Tiling {
  const { tileSize = 448, thumbnail = true } = options;
  if (typeof thumbnail !== "boolean") throw new OptionError("thumbnail", thumbnail, "must be true or false");
  const grid = chooseGrid(image.width, image.height, options);
  checkRGBImage(image);
  const [columns, rows] = grid;
  const stretched = resizeBicubic(image, columns * tileSize, rows * tileSize);
  const tiles: Uint8Array[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) tiles.push(crop(stretched, column, row, tileSize));
  }
  if (thumbnail && tiles.length > 1) tiles.push(resizeBicubic(image, tileSize, tileSize).data);
  return { grid, tiles };
}
