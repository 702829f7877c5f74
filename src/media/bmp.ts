/** BMP: uncompressed, 1 to 32 bits a pixel, with or without bit masks (Windows BITMAPFILEHEADER and its infos). */

import { MediaError } from "../errors.ts";
import { checkSize, type ImageLimits, type RGBImage } from "./image.ts";

interface Header {
  width: number;
  height: number;
  /** Rows are stored from the bottom up unless the height is negative. */
  bottomUp: boolean;
  bits: number;
  /** `[colors, 4]` or `[colors, 3]`, blue first. */
  palette: Uint8Array;
  paletteStep: number;
  /** Bits of red, green and blue in a pixel of 16 or 32 bits. */
  masks: [number, number, number];
  /** Where the pixels begin. */
  offset: number;
}

const [uncompressed, bitFields, alphaBitFields] = [0, 3, 6];

function readHeader(bytes: Uint8Array, source: string, limits: ImageLimits): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const refuse = (problem: string) => new MediaError(source, `${problem}; save it again as PNG`);
  const headerSize = bytes.length >= 26 ? view.getUint32(14, true) : 0;
  const isCore = headerSize === 12;
  if (!(isCore || (headerSize >= 40 && headerSize <= 124)) || bytes.length < 14 + headerSize) {
    throw refuse("this BMP is damaged or cut short: its header is missing");
  }
  const width = isCore ? view.getUint16(18, true) : view.getInt32(18, true);
  const signedHeight = isCore ? view.getUint16(20, true) : view.getInt32(22, true);
  const height = Math.abs(signedHeight);
  checkSize(source, width, height, limits);
  const bits = view.getUint16(isCore ? 24 : 28, true);
  if (![1, 4, 8, 16, 24, 32].includes(bits)) throw refuse(`a BMP of ${bits} bits a pixel is not supported`);
  const compression = isCore ? uncompressed : view.getUint32(30, true);
  const hasMasks =
    (compression === bitFields || compression === alphaBitFields) && (bits === 16 || bits === 32);
  if (compression !== uncompressed && !hasMasks) {
    const name = compression === 1 || compression === 2 ? "run-length" : `kind ${compression}`;
    throw refuse(`a BMP with ${name} compression is not supported`);
  }
  let masks: [number, number, number] = bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
  let paletteStart = 14 + headerSize;
  if (hasMasks) {
    if (bytes.length < 66) throw refuse("this BMP is damaged or cut short: its bit masks are missing");
    masks = [view.getUint32(54, true), view.getUint32(58, true), view.getUint32(62, true)];
    if (masks.includes(0)) throw refuse("this BMP is damaged: one of its bit masks is 0");
    if (headerSize === 40) paletteStart += 12;
  }
  const paletteStep = isCore ? 3 : 4;
  const colors = (isCore ? 0 : view.getUint32(46, true)) || 1 << Math.min(bits, 8);
  const palette = bytes.subarray(paletteStart, paletteStart + Math.min(colors, 256) * paletteStep);
  const offset = view.getUint32(10, true);
  return { width, height, bottomUp: signedHeight > 0, bits, palette, paletteStep, masks, offset };
}

/** Takes the bits of `mask` out of a pixel, stretched to 0..255 and rounded down, as Pillow has it. */
function channelReader(mask: number): (pixel: number) => number {
  const shift = 31 - Math.clz32(mask & -mask);
  const most = mask >>> shift;
  return (pixel) => Math.floor((((pixel & mask) >>> shift) * 255) / most);
}

/**
 * Decodes a BMP. Alpha is dropped.
 *
 * @throws MediaError
 */
export function decodeBmp(bytes: Uint8Array, source: string, limits: ImageLimits): RGBImage {
  const { width, height, bottomUp, bits, palette, paletteStep, masks, offset } = readHeader(
    bytes,
    source,
    limits,
  );
  // Rows are padded to four bytes.
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  if (offset + rowBytes * height > bytes.length) {
    throw new MediaError(
      source,
      `this BMP is cut short: ${bytes.length} bytes where ${width}x${height} at ${bits} bits takes ` +
        `${offset + rowBytes * height}; get the whole file`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [red, green, blue] = masks.map(channelReader);
  const data = new Uint8Array(width * height * 3);
  let write = 0;
  for (let y = 0; y < height; y++) {
    const row = offset + (bottomUp ? height - 1 - y : y) * rowBytes;
    for (let x = 0; x < width; x++, write += 3) {
      if (bits === 24) {
        const read = row + x * 3;
        data[write] = bytes[read + 2];
        data[write + 1] = bytes[read + 1];
        data[write + 2] = bytes[read];
      } else if (bits > 8) {
        const pixel = bits === 16 ? view.getUint16(row + x * 2, true) : view.getUint32(row + x * 4, true);
        data[write] = red(pixel);
        data[write + 1] = green(pixel);
        data[write + 2] = blue(pixel);
      } else {
        const bit = x * bits;
        const index = (bytes[row + (bit >> 3)] >> (8 - bits - (bit & 7))) & ((1 << bits) - 1);
        // Past the end of a short palette this stores undefined as 0: black, as Pillow has it.
        data[write] = palette[index * paletteStep + 2];
        data[write + 1] = palette[index * paletteStep + 1];
        data[write + 2] = palette[index * paletteStep];
      }
    }
  }
  return { width, height, data };
}
