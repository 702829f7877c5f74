import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileError, MediaError, OptionError, ShapeError } from "../errors.ts";
import { decodeImage } from "../media/decode.ts";
import type { RGBImage } from "../media/image.ts";
import { tileImage } from "../media/tiles.ts";
import { type PictureInput, type PictureOptions, tilePicture, tileVideo } from "./pictures.ts";

const images = join(import.meta.dirname, "../../test/golden/images");
const path = join(images, "wide.png");
const bytes = new Uint8Array(readFileSync(path));
const tiling = { tileSize: 112, minTiles: 1, maxTiles: 6, thumbnail: true, tokensPerTile: 16 };

let image: RGBImage;
let server: Server;
let address: string;
beforeAll(async () => {
  image = await decodeImage(bytes);
  server = createServer((request, response) => {
    if (request.url === "/wide.png") response.end(bytes);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const tile = (input: PictureInput, options: PictureOptions & { signal?: AbortSignal } = {}) =>
  tilePicture(input, tiling, options);
const hashes = async (input: PictureInput, options?: PictureOptions) =>
  (await tile(input, options)).tiles.map(({ hash }) => hash);

describe("tilePicture", () => {
  it("takes a path, an address, bytes, a buffer, a Blob and pixels, and sees the same in all", async () => {
    const expected = tileImage(image, { maxTiles: 6, tileSize: 112 }).tiles;
    const wanted = await tile(path);
    expect(wanted.tiles.map(({ pixels }) => Buffer.compare(pixels, expected.shift()!))).toEqual(
      wanted.tiles.map(() => 0),
    );
    expect(expected).toEqual([]);
    const sources: PictureInput[] = [
      `${address}/wide.png`,
      new URL(`${address}/wide.png`),
      `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`,
      bytes,
      bytes.buffer,
      new Blob([bytes]),
      image,
    ];
    const wantedHashes = wanted.tiles.map(({ hash }) => hash);
    for (const source of sources) expect(await hashes(source)).toEqual(wantedHashes);
  });

  it("names tiles by their pixels: SHA-256, equal for equal content and only then", async () => {
    const grey = (value: number): RGBImage => ({ width: 1, height: 1, data: new Uint8Array(3).fill(value) });
    const [first] = await hashes(grey(7));
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await hashes({ width: 3, height: 3, data: new Uint8Array(27).fill(7) })).toEqual([first]);
    expect(await hashes(grey(8))).not.toEqual([first]);
  });

  it("puts several that share a place one after the other", async () => {
    const square = join(images, "square.png");
    const both = await hashes([path, square]);
    expect(both).toEqual([...(await hashes(path)), ...(await hashes(square))]);
    await expect(tile([])).rejects.toThrow(OptionError);
  });

  it("follows the checkpoint's tiles unless told otherwise", async () => {
    const count = async (options: PictureOptions) => (await tile(path, options)).tiles.length;
    const [columns, rows] = tileImage(image, { maxTiles: 6, tileSize: 112 }).grid;
    expect(await count({})).toBe(columns * rows + 1);
    expect(await count({ maxTiles: 1 })).toBe(1);
    expect(await count({ maxTiles: 12, minTiles: 7 })).toBeGreaterThan(7);
    const plain = await tilePicture(path, { ...tiling, thumbnail: false }, {});
    expect(plain.tiles).toHaveLength(columns * rows);
    // A checkpoint's own lower bound gives way to what the caller allows at most.
    expect((await tilePicture(path, { ...tiling, minTiles: 4 }, { maxTiles: 2 })).tiles.length).toBeLessThan(
      4,
    );
    await expect(tile(path, { maxTiles: 0 })).rejects.toThrow(OptionError);
    await expect(tile(path, { maxTiles: 2, minTiles: 3 })).rejects.toThrow("minTiles");
  });

  it("turns a picture upright only when asked to", async () => {
    const rotated = join(images, "exif_rotated.jpg");
    expect(await hashes(rotated, { exif: true })).not.toEqual(await hashes(rotated));
  });

  it("takes what was tiled before as it is", async () => {
    const before = await tile(path);
    expect(await tile(before)).toBe(before);
  });

  it("refuses tiles of another model's size", async () => {
    const before = await tilePicture(path, { ...tiling, tileSize: 224 }, {});
    await expect(tile(before)).rejects.toThrow(ShapeError);
    await expect(tile(before)).rejects.toThrow("150528 bytes, want 37632 (112 by 112, RGB)");
  });

  it("says which source failed", async () => {
    await expect(tile("nowhere.jpg")).rejects.toThrow(FileError);
    await expect(tile(`${address}/other.png`)).rejects.toThrow("/other.png: the server answered 404");
    await expect(tile(new TextEncoder().encode("<html>"))).rejects.toThrow(MediaError);
    for (const nothing of [null, undefined, 7, {}]) {
      await expect(tile(nothing as unknown as PictureInput)).rejects.toThrow("this is not a picture");
    }
    await expect(tile(image, { limits: { maxPixels: 10 } })).rejects.toThrow(MediaError);
  });

  it("ends when it is aborted, before and between pictures", async () => {
    const reason = new Error("enough");
    await expect(tile(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const second = new Blob([bytes]);
    second.arrayBuffer = async () => {
      controller.abort(reason);
      return bytes.buffer;
    };
    await expect(tile([second, path], { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe("tileVideo", () => {
  const frame = (value: number): RGBImage => ({
    width: 20,
    height: 10,
    data: new Uint8Array(600).fill(value),
  });

  it("makes one tile of each frame, from a list or as they come", async () => {
    const list = await tileVideo([frame(1), frame(2)], tiling, {});
    expect(list.map(({ tiles }) => tiles.length)).toEqual([1, 1]);
    expect(list[0].tiles[0].pixels).toEqual(new Uint8Array(112 * 112 * 3).fill(1));
    async function* camera() {
      yield frame(1);
      yield frame(2);
    }
    expect(await tileVideo(camera(), tiling, {})).toEqual(list);
  });

  it("refuses a clip without frames, and a list of something else", async () => {
    await expect(tileVideo([], tiling, {})).rejects.toThrow(OptionError);
    await expect(tileVideo(["a.jpg"] as unknown as RGBImage[], tiling, {})).rejects.toThrow(MediaError);
    await expect(tileVideo(7 as unknown as string, tiling, {})).rejects.toThrow(OptionError);
  });

  it("refuses to choose among frames that were chosen already", async () => {
    await expect(tileVideo([frame(1)], tiling, { segments: 4 })).rejects.toThrow(
      "segments: is only read with a clip; give fewer frames instead (got 4)",
    );
    await expect(tileVideo([frame(1)], tiling, { bound: [0, 1] })).rejects.toThrow(OptionError);
  });
});
