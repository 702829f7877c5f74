import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { FileError } from "../errors.ts";
import { encodePng } from "../media/encode-png.ts";
import { loadImage } from "../media/sources.ts";
import { tileImage } from "../media/tiles.ts";
import { loadVideoFrames } from "../media/video.ts";
import { defaultSegments, placesOf } from "./attachments.ts";
import type { CommonFlags } from "./program.ts";
import { showProgress } from "./progress-bars.ts";
import { table, writeJson, writeLine } from "./text.ts";
import { UsageError } from "./usage.ts";
import type { World } from "./world.ts";

export interface TilesFlags extends CommonFlags {
  out?: string;
  maxTiles?: number;
  minTiles?: number;
  tileSize?: number;
  video?: string;
  segments?: number;
  bound?: [number, number];
}

/** Pixels along one side that become one token: patches of 14, merged two by two, in every InternVL2. */
const pixelsPerToken = 28;

interface NamedTile {
  readonly name: string;
  readonly pixels: Uint8Array;
}

/** `internvl tiles`: what a model sees of a picture or clip. */
export async function tiles(image: string | undefined, flags: TilesFlags, world: World): Promise<undefined> {
  const { stdout } = world;
  const { tileSize = 448 } = flags;
  placesOf({ ...flags, image: image === undefined ? [] : [image] });
  if (tileSize % pixelsPerToken !== 0) {
    throw new UsageError(`--tile-size: must be a multiple of ${pixelsPerToken} (got ${tileSize})`);
  }
  if (image === undefined && flags.video === undefined) {
    throw new UsageError("there is no picture: internvl tiles cat.jpg, or --video clip.mp4");
  }
  const { facts, named } =
    flags.video === undefined
      ? await ofPicture(image!, tileSize, flags, world)
      : await ofVideo(flags.video, tileSize, flags, world);
  const counts = {
    tileSize,
    tiles: named.length,
    imageTokens: named.length * (tileSize / pixelsPerToken) ** 2,
  };
  const files = flags.out === undefined ? [] : await writeTiles(flags.out, named, tileSize);
  if (flags.json) {
    writeJson(stdout, { ...facts, ...counts, files });
    return;
  }
  const rows = Object.entries({ ...facts, ...counts }).map(
    ([name, value]) => [titles[name] ?? name, valueText(value)] as const,
  );
  writeLine(stdout, table(rows));
  for (const file of files) writeLine(stdout, file);
}

const titles: Readonly<Record<string, string>> = {
  tileSize: "tile size",
  imageTokens: "image tokens",
  frameCount: "frames in the clip",
};

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "object" && value !== null) return Object.values(value).join(" x ");
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value);
}

interface Cut {
  readonly facts: Record<string, unknown>;
  readonly named: readonly NamedTile[];
}

async function ofPicture(image: string, tileSize: number, flags: TilesFlags, world: World): Promise<Cut> {
  const { maxTiles, minTiles } = flags;
  const picture = await loadImage(image, { signal: world.interrupts.signal });
  const { grid, tiles: cut } = tileImage(picture, { maxTiles, minTiles, tileSize });
  const [columns, rows] = grid;
  const named = cut.map((pixels, i) => {
    const place = `row-${Math.floor(i / columns) + 1}-column-${(i % columns) + 1}`;
    return { name: i < columns * rows ? `${stem(image)}-${place}` : `${stem(image)}-thumbnail`, pixels };
  });
  const { width, height } = picture;
  return { facts: { size: { width, height }, grid: { columns, rows } }, named };
}

async function ofVideo(video: string, tileSize: number, flags: TilesFlags, world: World): Promise<Cut> {
  for (const name of ["maxTiles", "minTiles"] as const) {
    if (flags[name] === undefined) continue;
    throw new UsageError(`--${name === "maxTiles" ? "max" : "min"}-tiles: a frame is always one tile`);
  }
  const { segments = defaultSegments, bound } = flags;
  const bars = showProgress(world);
  try {
    const { signal } = world.interrupts;
    const clip = await loadVideoFrames(video, { segments, bound, signal, onProgress: bars.onProgress });
    const named = clip.frames.map((frame, i) => ({
      name: `${stem(video)}-frame-${String(i + 1).padStart(3, "0")}`,
      pixels: tileImage(frame, { maxTiles: 1, tileSize, thumbnail: false }).tiles[0],
    }));
    const { fps, frameCount, duration, indices } = clip;
    const { width, height } = clip.frames[0];
    return { facts: { size: { width, height }, fps, frameCount, duration, indices }, named };
  } finally {
    bars.clear();
  }
}

async function writeTiles(folder: string, named: readonly NamedTile[], tileSize: number): Promise<string[]> {
  const files: string[] = [];
  try {
    await makeFolder(folder);
    for (const { name, pixels } of named) {
      const file = join(folder, `${name}.png`);
      await writeFile(file, await encodePng({ width: tileSize, height: tileSize, data: pixels }));
      files.push(file);
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new FileError(folder, `cannot be written (${code}); name another folder with --out`, { cause });
  }
  return files;
}

/** As `mkdir -p`; that of Node never comes back where folders cannot be made at all, such as below /proc. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    const parent = dirname(resolve(folder));
    if (code !== "ENOENT" || parent === resolve(folder)) throw error;
    await makeFolder(parent);
    await mkdir(folder);
  }
}

/** A file's name without its ending; of an address, its last part. */
function stem(place: string): string {
  const name = basename(place.replace(/[?#].*$/s, "")).replace(/\.[^.]*$/, "");
  return /^[\w .-]+$/u.test(name) && name.length < 100 ? name : "picture";
}
