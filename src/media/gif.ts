/** GIF (87a, 89a): the first frame, as Pillow shows it. */

import { MediaError } from "../errors.ts";
import { checkSize, type ImageLimits, type RGBImage } from "./image.ts";
import { lzwDecode } from "./lzw.ts";

function damaged(source: string, problem: string): MediaError {
  return new MediaError(source, `this GIF is damaged or cut short: ${problem}; get the whole file`);
}

/** Joins the sub-blocks that begin at `position`; a block of length 0 ends them. */
function readSubBlocks(bytes: Uint8Array, position: number): { data: Uint8Array; end: number } {
  let end = position;
  let length = 0;
  while (end < bytes.length && bytes[end] !== 0) {
    length += Math.min(bytes[end], bytes.length - end - 1);
    end += bytes[end] + 1;
  }
  const data = new Uint8Array(length);
  let write = 0;
  for (let read = position; read < bytes.length && bytes[read] !== 0; read += bytes[read] + 1) {
    const block = bytes.subarray(read + 1, read + 1 + bytes[read]);
    data.set(block, write);
    write += block.length;
  }
  return { data, end: end + 1 };
}

/** In the order the file has them, the rows of an interlaced frame: every 8th, every 8th from 4, 4th from 2, 2nd. */
function rowOrder(height: number, interlaced: boolean): number[] {
  const passes = interlaced
    ? [
        [0, 8],
        [4, 8],
        [2, 4],
        [1, 2],
      ]
    : [[0, 1]];
  const rows: number[] = [];
  for (const [first, step] of passes) for (let row = first; row < height; row += step) rows.push(row);
  return rows;
}

/** The colours of a frame without any table: gray. */
const grayRamp = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));

/**
 * Decodes the first frame. Where it does not cover the screen, the transparent colour shows, or else colour 0;
 * transparent pixels keep their colour.
 *
 * @throws MediaError
 */
export function decodeGif(bytes: Uint8Array, source: string, limits: ImageLimits): RGBImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 13) throw damaged(source, "its header is missing");
  let width = view.getUint16(6, true);
  let height = view.getUint16(8, true);
  checkSize(source, width, height, limits);
  const tableAt = (position: number, flags: number) =>
    flags & 0x80 ? bytes.subarray(position, position + 3 * (2 << (flags & 7))) : undefined;
  const screenTable = tableAt(13, bytes[10]);
  let position = 13 + (screenTable?.length ?? 0);
  let transparent = 0;
  while (bytes[position] === 0x21) {
    // A graphic control extension may name the transparent colour.
    if (bytes[position + 1] === 0xf9 && bytes[position + 3] & 1) transparent = bytes[position + 6];
    position = readSubBlocks(bytes, position + 2).end;
  }
  if (bytes[position] !== 0x2c || position + 11 > bytes.length) throw damaged(source, "it has no frame");

  const left = view.getUint16(position + 1, true);
  const top = view.getUint16(position + 3, true);
  const frameWidth = view.getUint16(position + 5, true);
  const frameHeight = view.getUint16(position + 7, true);
  const flags = bytes[position + 9];
  const frameTable = tableAt(position + 10, flags);
  const table = frameTable ?? screenTable ?? grayRamp;
  position += 10 + (frameTable?.length ?? 0);
  // Pillow lets a first frame that does not fit enlarge the screen.
  width = Math.max(width, left + frameWidth);
  height = Math.max(height, top + frameHeight);
  checkSize(source, width, height, limits);

  const codeBits = bytes[position];
  if (!(codeBits >= 1 && codeBits <= 11)) throw damaged(source, `codes of ${codeBits} bits do not exist`);
  const { data: compressed } = readSubBlocks(bytes, position + 1);
  const indices = lzwDecode(compressed, codeBits, frameWidth * frameHeight);
  if (!indices) throw damaged(source, "pixels of its first frame are missing");

  const data = new Uint8Array(width * height * 3);
  const put = (write: number, index: number) => {
    // Past the end of a short table this stores undefined as 0: black.
    data[write] = table[index * 3];
    data[write + 1] = table[index * 3 + 1];
    data[write + 2] = table[index * 3 + 2];
  };
  if (frameWidth < width || frameHeight < height) {
    for (let pixel = 0; pixel < width * height; pixel++) put(pixel * 3, transparent);
  }
  let read = 0;
  for (const row of rowOrder(frameHeight, (flags & 0x40) !== 0)) {
    const start = (top + row) * width + left;
    for (let x = 0; x < frameWidth; x++) put((start + x) * 3, indices[read++]);
  }
  return { width, height, data };
}
