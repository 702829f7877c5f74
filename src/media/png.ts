/**
 * PNG to the RGB that Pillow's `convert("RGB")` gives: alpha and tRNS are dropped, 16-bit gray is clipped at 255,
 * other 16-bit samples keep their high byte. All colour types, depths and Adam7 (PNG specification, third edition).
 */

import { MediaError } from "../errors.ts";
import { crc32 } from "./crc32.ts";
import { checkSize, type ImageLimits, type RGBImage } from "./image.ts";
import { inflate } from "./inflate.ts";
import { unfilter } from "./png-filter.ts";

interface Header {
  width: number;
  height: number;
  bitDepth: number;
  colorType: number;
  interlaced: boolean;
}

interface Chunks {
  header: Header;
  palette: Uint8Array;
  /** The TIFF structure of an eXIf chunk. */
  exif: Uint8Array | undefined;
  /** The IDAT chunks, one zlib stream together. */
  compressed: Uint8Array[];
  /** The file ends inside its last IDAT chunk. */
  cut: boolean;
}

const [gray, truecolor, indexed, grayAlpha, truecolorAlpha] = [0, 2, 3, 4, 6];
const channelsOf = new Map([
  [gray, 1],
  [truecolor, 3],
  [indexed, 1],
  [grayAlpha, 2],
  [truecolorAlpha, 4],
]);
const depthsOf = new Map([
  [gray, [1, 2, 4, 8, 16]],
  [truecolor, [8, 16]],
  [indexed, [1, 2, 4, 8]],
  [grayAlpha, [8, 16]],
  [truecolorAlpha, [8, 16]],
]);

/** Where each pass of Adam7 begins, and its steps: x, y, dx, dy. */
const adam7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

function readHeader(bytes: Uint8Array, source: string): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const broken = (problem: string) =>
    new MediaError(source, `this PNG is damaged: ${problem}; save it again`);
  if (bytes.length !== 13) throw broken("its IHDR chunk is not 13 bytes long");
  const [bitDepth, colorType, compression, filter, interlace] = bytes.subarray(8);
  if (!depthsOf.get(colorType)?.includes(bitDepth)) {
    throw broken(`colour type ${colorType} with ${bitDepth} bits does not exist`);
  }
  if (compression !== 0 || filter !== 0 || interlace > 1) {
    throw broken(`compression ${compression}, filter ${filter}, interlace ${interlace} do not exist`);
  }
  return {
    width: view.getUint32(0),
    height: view.getUint32(4),
    bitDepth,
    colorType,
    interlaced: interlace === 1,
  };
}

/**
 * Walks the chunks. The check sums of IHDR and PLTE are verified, as in Pillow; the pixels have zlib's own. A file cut
 * short after its last pixel still opens in Pillow, and so it does here: `inflate` says when pixels are missing.
 */
function readChunks(bytes: Uint8Array, source: string, limits: ImageLimits): Chunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Header | undefined;
  let palette = new Uint8Array();
  let exif: Uint8Array | undefined;
  const compressed: Uint8Array[] = [];
  let cut = false;
  for (let position = 8; position + 8 <= bytes.length; ) {
    const length = view.getUint32(position);
    const type = String.fromCharCode(...bytes.subarray(position + 4, position + 8));
    const end = position + 8 + length;
    const data = bytes.subarray(position + 8, end);
    if (type === "IEND") break;
    if (type === "IHDR" || type === "PLTE") {
      if (end + 4 > bytes.length) break;
      if (view.getUint32(end) !== crc32(bytes.subarray(position + 4, end))) {
        throw new MediaError(source, `this PNG is damaged: wrong check sum of ${type}; save it again`);
      }
    }
    if (type === "IHDR" && header === undefined) {
      header = readHeader(data, source);
      checkSize(source, header.width, header.height, limits);
    } else if (type === "PLTE") palette = data.slice(0, 768);
    else if (type === "eXIf") exif = data;
    else if (type === "IDAT") {
      compressed.push(data);
      cut = end > bytes.length;
    }
    position = end + 4;
  }
  if (!header)
    throw new MediaError(source, "this PNG is damaged or cut short: no IHDR chunk; get the whole file");
  return { header, palette, exif, compressed, cut };
}

/** One byte a sample: low depths are unpacked (gray ones stretched to 0..255), 16 bits shortened. */
function samplesOf(row: Uint8Array, count: number, { bitDepth, colorType }: Header): Uint8Array {
  if (bitDepth === 8) return row;
  const samples = new Uint8Array(count);
  if (bitDepth === 16) {
    // Pillow opens 16-bit gray without alpha as "I;16", and that clips on its way to RGB.
    const clips = colorType === gray;
    for (let i = 0; i < count; i++) samples[i] = clips && row[2 * i] > 0 ? 255 : row[2 * i + (clips ? 1 : 0)];
    return samples;
  }
  const mask = (1 << bitDepth) - 1;
  const stretch = colorType === gray ? 255 / mask : 1;
  for (let i = 0; i < count; i++) {
    const bit = i * bitDepth;
    samples[i] = ((row[bit >> 3] >> (8 - bitDepth - (bit & 7))) & mask) * stretch;
  }
  return samples;
}

/** Writes `count` pixels of a row to `rgb`, from byte `start`, `step` pixels apart. */
function writePixels(
  samples: Uint8Array,
  count: number,
  chunks: Chunks,
  rgb: Uint8Array,
  start: number,
  step: number,
): void {
  const { colorType } = chunks.header;
  if (colorType === truecolor && step === 1) {
    rgb.set(samples.subarray(0, count * 3), start);
    return;
  }
  const channels = channelsOf.get(colorType)!;
  const fromPalette = colorType === indexed;
  const colors = fromPalette ? chunks.palette : samples;
  // Distance from red to green and blue: they are all the same sample in a gray picture.
  const next = colorType === gray || colorType === grayAlpha ? 0 : 1;
  for (let x = 0, write = start; x < count; x++, write += step * 3) {
    const read = fromPalette ? samples[x] * 3 : x * channels;
    // Past the end of a short palette this stores undefined as 0: black, as Pillow has it.
    rgb[write] = colors[read];
    rgb[write + 1] = colors[read + next];
    rgb[write + 2] = colors[read + 2 * next];
  }
}

/**
 * Decodes a PNG (an APNG: its default image).
 *
 * @returns the picture, and the EXIF data of its eXIf chunk if there is one
 * @throws MediaError
 */
export async function decodePng(
  bytes: Uint8Array,
  source: string,
  limits: ImageLimits,
): Promise<{ image: RGBImage; exif: Uint8Array | undefined }> {
  const chunks = readChunks(bytes, source, limits);
  const { width, height, bitDepth, colorType, interlaced } = chunks.header;
  const pixelBits = channelsOf.get(colorType)! * bitDepth;
  const passes = (interlaced ? adam7 : ([[0, 0, 1, 1]] as const)).map(([x, y, dx, dy]) => {
    const columns = Math.ceil((width - x) / dx);
    const rows = columns > 0 ? Math.max(0, Math.ceil((height - y) / dy)) : 0;
    return { x, y, dx, dy, columns, rows, rowBytes: Math.ceil((columns * pixelBits) / 8) };
  });
  // Each row carries one byte more: its filter.
  const total = passes.reduce((sum, pass) => sum + pass.rows * (pass.rowBytes + 1), 0);
  const filtered = await inflate(chunks.compressed, total, chunks.cut, source);

  const data = new Uint8Array(width * height * 3);
  let read = 0;
  for (const pass of passes) {
    for (let row = 0; row < pass.rows; row++) {
      if (!unfilter(filtered, read, pass.rowBytes, Math.ceil(pixelBits / 8), row === 0)) {
        throw new MediaError(
          source,
          `this PNG is damaged: filter ${filtered[read]} does not exist; save it again`,
        );
      }
      const line = filtered.subarray(read + 1, read + 1 + pass.rowBytes);
      const samples = samplesOf(line, pass.columns * channelsOf.get(colorType)!, chunks.header);
      const start = ((pass.y + row * pass.dy) * width + pass.x) * 3;
      writePixels(samples, pass.columns, chunks, data, start, pass.dx);
      read += pass.rowBytes + 1;
    }
  }
  return { image: { width, height, data }, exif: chunks.exif };
}
