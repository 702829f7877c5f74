import type { TilingDescription } from "../checkpoint/description.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { checkRGBImage, type RGBImage } from "../media/image.ts";
import { type ImageSource, type LoadImageOptions, loadImage } from "../media/sources.ts";
import { tileImage } from "../media/tiles.ts";
import { type LoadVideoOptions, loadVideoFrames, type VideoSource } from "../media/video.ts";

/**
 * A picture as the model sees it: cut into tiles, each known by its content. Histories hold these, so that a later turn
 * needs neither the file nor the cutting again.
 */
export interface TiledPicture {
  readonly tiles: readonly Tile[];
}

export interface Tile {
  /** `[tileSize, tileSize, 3]` */
  readonly pixels: Uint8Array;
  /** SHA-256 of the pixels, hexadecimal. */
  readonly hash: string;
}

/** What stands at one `<image>` mark: a picture, several that share the place, or one that was tiled before. */
export type PictureInput = ImageSource | readonly ImageSource[] | TiledPicture;

export interface PictureOptions {
  /** At most this many tiles a picture (the reference's `max_num`), the thumbnail not counted. Default: the checkpoint's. */
  maxTiles?: number;
  /** At least this many tiles. Default: the checkpoint's. */
  minTiles?: number;
  /** Turn pictures upright by their EXIF orientation; the reference does not. Default false. */
  exif?: boolean;
  /** Bounds on what is opened: pixels, bytes, aspect. */
  limits?: LoadImageOptions["limits"];
}

/** Opens and tiles what stands at one mark. */
export async function tilePicture(
  input: PictureInput,
  tiling: TilingDescription,
  options: PictureOptions & { signal?: AbortSignal },
): Promise<TiledPicture> {
  if (isTiledPicture(input)) return checkTiles(input, tiling.tileSize);
  const { maxTiles = tiling.maxTiles, minTiles = Math.min(tiling.minTiles, maxTiles) } = options;
  const sources = Array.isArray(input) ? (input as readonly ImageSource[]) : [input as ImageSource];
  if (sources.length === 0)
    throw new OptionError("images", input, "a list of pictures for one place is empty");
  const tiles: Tile[] = [];
  for (const source of sources) {
    options.signal?.throwIfAborted();
    const image = await loadImage(source, options);
    const cut = tileImage(image, {
      minTiles,
      maxTiles,
      tileSize: tiling.tileSize,
      thumbnail: tiling.thumbnail,
    });
    for (const pixels of cut.tiles) tiles.push(await tile(pixels));
  }
  return { tiles };
}

/** One picture of one tile for each frame of a clip that the model is to see; 8 frames unless `segments` says else. */
export async function tileVideo(
  video: VideoSource | Iterable<RGBImage> | AsyncIterable<RGBImage>,
  tiling: TilingDescription,
  options: Partial<LoadVideoOptions>,
): Promise<TiledPicture[]> {
  const pictures: TiledPicture[] = [];
  for await (const frame of framesOf(video, options)) {
    options.signal?.throwIfAborted();
    const image = checkRGBImage(frame, `frame ${pictures.length + 1}`);
    const { tiles } = tileImage(image, {
      minTiles: 1,
      maxTiles: 1,
      tileSize: tiling.tileSize,
      thumbnail: false,
    });
    pictures.push({ tiles: [await tile(tiles[0])] });
  }
  if (pictures.length === 0) throw new OptionError("video", video, "there are no frames in it");
  return pictures;
}

async function* framesOf(
  video: VideoSource | Iterable<RGBImage> | AsyncIterable<RGBImage>,
  options: Partial<LoadVideoOptions>,
): AsyncIterable<RGBImage> {
  if (!isFrames(video)) {
    yield* (await loadVideoFrames(video, { ...options, segments: options.segments ?? 8 })).frames;
    return;
  }
  for (const option of ["segments", "bound"] as const) {
    if (options[option] === undefined) continue;
    throw new OptionError(option, options[option], "is only read with a clip; give fewer frames instead");
  }
  yield* video;
}

/** Tiles from elsewhere, for example from a history that another model wrote, may have another size. */
function checkTiles(picture: TiledPicture, tileSize: number): TiledPicture {
  const want = tileSize * tileSize * 3;
  const wrong = picture.tiles.find(({ pixels }) => pixels.length !== want);
  if (!wrong) return picture;
  throw new ShapeError(
    `a tile has ${wrong.pixels.length} bytes, want ${want} (${tileSize} by ${tileSize}, RGB): tile the picture again for this model`,
  );
}

async function tile(pixels: Uint8Array): Promise<Tile> {
  const digest = await crypto.subtle.digest("SHA-256", pixels as Uint8Array<ArrayBuffer>);
  const hash = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { pixels, hash };
}

function isTiledPicture(input: PictureInput): input is TiledPicture {
  return typeof input === "object" && input !== null && "tiles" in input;
}

function isFrames(video: unknown): video is Iterable<RGBImage> | AsyncIterable<RGBImage> {
  if (typeof video !== "object" || video === null || ArrayBuffer.isView(video)) return false;
  return Symbol.iterator in video || Symbol.asyncIterator in video;
}
