// node bench/media.mjs [picture ...]: decoding, and cutting a 12-megapixel picture into tiles. Needs a build.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { decodeImage, tileImage } from "../dist/index.js";
import { best, copySpeed, duration, percent, report } from "./measure.mjs";

const given = process.argv.slice(2);
const files =
  given.length > 0
    ? given
    : ["examples/photos/cat.jpg", "test/golden/images/square.png", "test/golden/images/lossless.webp"];
const copied = await copySpeed();
const rows = [];

for (const file of files) {
  const bytes = new Uint8Array(await readFile(file));
  const { width, height } = await decodeImage(bytes);
  const seconds = await best(10, () => decodeImage(bytes));
  const share = (bytes.length + width * height * 3) / copied / seconds;
  rows.push([
    `decode ${basename(file)}, ${width}x${height}`,
    duration(seconds),
    `${((width * height) / 1e6 / seconds).toPrecision(3)} Mpixel/s`,
    percent(share),
  ]);
}

for (const [width, height, maxTiles] of [
  [4000, 3000, 12],
  [1920, 1080, 12],
  [451, 300, 6],
]) {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 2654435761) >>> 24);
  const image = { width, height, data };
  const { tiles } = tileImage(image, { maxTiles });
  const seconds = await best(3, () => tileImage(image, { maxTiles }));
  const share = (data.length + tiles.length * tiles[0].length) / copied / seconds;
  rows.push([
    `tile ${width}x${height} into ${tiles.length}`,
    duration(seconds),
    `${((width * height) / 1e6 / seconds).toPrecision(3)} Mpixel/s`,
    percent(share),
  ]);
}

report(
  "Media",
  ["what", "time", "speed", `share of reading and writing once (${(copied / 1e9).toPrecision(3)} GB/s)`],
  rows,
);
