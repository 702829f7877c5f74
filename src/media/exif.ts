/** How a camera was held (EXIF 2.32, tag 0x0112, Orientation), and turning a picture upright by it. */

import type { RGBImage } from "./image.ts";

const orientationTag = 0x0112;

/**
 * The first value of a tag of type SHORT in the first directory of a TIFF structure.
 *
 * @returns undefined where the tag is absent or the structure broken
 */
export function readTag(tiff: Uint8Array, tag: number): number | undefined {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (view.byteLength < 8) return undefined;
  const order = view.getUint16(0);
  if (order !== 0x4949 && order !== 0x4d4d) return undefined;
  const little = order === 0x4949;
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return undefined;
  const entries = view.getUint16(directory, little);
  for (let entry = 0; entry < entries; entry++) {
    const position = directory + 2 + entry * 12;
    if (position + 12 > view.byteLength) return undefined;
    if (view.getUint16(position, little) === tag) return view.getUint16(position + 8, little);
  }
  return undefined;
}

/**
 * The orientation in the TIFF structure that EXIF data is, with or without the `Exif\0\0` in front.
 *
 * @returns 1 to 8; 1 (upright) where the data is absent, broken or does not say
 */
export function readOrientation(exif: Uint8Array | undefined): number {
  if (!exif) return 1;
  const hasPrefix = exif[0] === 0x45 && exif[1] === 0x78;
  const orientation = readTag(hasPrefix ? exif.subarray(6) : exif, orientationTag) ?? 1;
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

/** The upright picture (Pillow's `ImageOps.exif_transpose`). From 5 on, width and height change places. */
export function applyOrientation(image: RGBImage, orientation: number): RGBImage {
  if (orientation === 1) return image;
  const swaps = orientation >= 5;
  const flipsColumns = [2, 3, 7, 8].includes(orientation);
  const flipsRows = [3, 4, 6, 7].includes(orientation);
  const width = swaps ? image.height : image.width;
  const height = swaps ? image.width : image.height;
  const data = new Uint8Array(width * height * 3);
  let write = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let column = swaps ? y : x;
      let row = swaps ? x : y;
      if (flipsColumns) column = image.width - 1 - column;
      if (flipsRows) row = image.height - 1 - row;
      const read = (row * image.width + column) * 3;
      data[write++] = image.data[read];
      data[write++] = image.data[read + 1];
      data[write++] = image.data[read + 2];
    }
  }
  return { width, height, data };
}
