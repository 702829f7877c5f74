/** JPEG: what its markers say (ITU-T T.81, annex B), and its pixels as libjpeg-turbo under Pillow gives them. */

import { MediaError } from "../errors.ts";
import { checkSize, type ImageLimits, type RGBImage } from "./image.ts";
import { decodeWithWasm } from "./wasm-codec.ts";

interface Header {
  width: number;
  height: number;
  components: number;
  /** Bits a sample. */
  precision: number;
  /** 0xc0 baseline, 0xc1 extended, 0xc2 progressive; the others are rarities. */
  frameMarker: number;
}

interface Markers {
  header: Header;
  exif: Uint8Array | undefined;
}

/** More scans than any encoder writes: each one costs a pass over the whole picture. */
const mostScans = 500;

const isFrame = (marker: number) =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

/** From inside a scan's data to its next marker: 0xff 0x00 and restarts belong to the data. */
function skipScan(bytes: Uint8Array, position: number): number {
  for (let at = bytes.indexOf(0xff, position); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const next = bytes[at + 1];
    if (next !== 0 && next !== 0xff && !(next >= 0xd0 && next <= 0xd7)) return at;
  }
  return bytes.length;
}

/** Walks from marker to marker up to the end of the picture, which must be there. */
export function readMarkers(bytes: Uint8Array, source: string, limits: ImageLimits): Markers {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Header | undefined;
  let exif: Uint8Array | undefined;
  let scans = 0;
  const text = (from: number, count: number) => String.fromCharCode(...bytes.subarray(from, from + count));
  for (let position = 2; position + 2 <= bytes.length; ) {
    if (bytes[position] !== 0xff) {
      position++;
      continue;
    }
    const marker = bytes[position + 1];
    if (marker === 0xd9) {
      if (!header) throw new MediaError(source, "this JPEG has no picture in it; get the whole file");
      return { header, exif };
    }
    // Fill bytes, and markers without data.
    if (marker === 0xff || marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) {
      position += marker === 0xff ? 1 : 2;
      continue;
    }
    if (position + 4 > bytes.length) break;
    const data = position + 4;
    const end = position + 2 + view.getUint16(position + 2);
    if (isFrame(marker) && !header && data + 6 <= bytes.length) {
      header = {
        precision: bytes[data],
        height: view.getUint16(data + 1),
        width: view.getUint16(data + 3),
        components: bytes[data + 5],
        frameMarker: marker,
      };
      checkSize(source, header.width, header.height, limits);
    } else if (marker === 0xe1 && text(data, 6) === "Exif\0\0") exif ??= bytes.subarray(data, end);
    if (marker !== 0xda) {
      position = end;
      continue;
    }
    if (++scans > mostScans) {
      throw new MediaError(
        source,
        `this JPEG has over ${mostScans} scans, as only a trap has; save it again`,
      );
    }
    position = skipScan(bytes, end);
  }
  throw new MediaError(source, "this JPEG is cut short: its end is missing; get the whole file");
}

function checkHeader(
  { width, height, precision, frameMarker }: Header,
  byteLength: number,
  source: string,
): void {
  if (precision !== 8 || ![0xc0, 0xc1, 0xc2].includes(frameMarker)) {
    const kind = [0xc3, 0xc7, 0xcb, 0xcf].includes(frameMarker)
      ? "a lossless"
      : `a ${precision}-bit or arithmetic`;
    throw new MediaError(
      source,
      `this is ${kind} JPEG, which is not supported; save it as a baseline JPEG or PNG`,
    );
  }
  // Every block of 8x8 pixels takes one bit at least, so this refuses large claims of small files.
  if (width * height > byteLength * 8 * 64) {
    throw new MediaError(
      source,
      `this JPEG is damaged or cut short: ${byteLength} bytes cannot hold ${width}x${height}; get the whole file`,
    );
  }
}

/**
 * Decodes a JPEG: baseline or progressive, gray, YCbCr, RGB; CMYK and YCCK in Node with sharp.
 *
 * @returns the picture as stored (not turned by its EXIF orientation), and its EXIF data if there is any
 * @throws MediaError
 */
export async function decodeJpeg(
  bytes: Uint8Array,
  source: string,
  limits: ImageLimits,
): Promise<{ image: RGBImage; exif: Uint8Array | undefined }> {
  const { header, exif } = readMarkers(bytes, source, limits);
  checkHeader(header, bytes.length, source);
  if (header.components === 4) {
    if (typeof process === "undefined" || !process.versions?.node) {
      throw new MediaError(source, "CMYK JPEGs cannot be decoded in a browser; save it as RGB");
    }
    const { decodeCmykJpeg } = await import("./sharp.node.ts");
    return { image: await decodeCmykJpeg(bytes, source), exif };
  }
  if (header.components !== 1 && header.components !== 3) {
    throw new MediaError(
      source,
      `a JPEG with ${header.components} components is not supported; save it as RGB`,
    );
  }
  return { image: await decodeWithWasm("jpeg", bytes, header, source), exif };
}
