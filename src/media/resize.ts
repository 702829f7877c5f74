/**
 * Pillow's `Image.resize(size, resample=BICUBIC)` for RGB, bit for bit.
 *
 * Two passes, across and then down, each a weighted sum in 22-bit fixed point and each rounded to 8 bits. When
 * shrinking, the kernel is stretched by the scale, so every input pixel counts (no aliasing). The order of the passes
 * shows in the last bit, and is Pillow's: a picture over 100 times as high as wide that loses height goes down first.
 */

import { OptionError } from "../errors.ts";
import type { RGBImage } from "./image.ts";
import * as plain from "./resize-passes-plain.ts";
import { openResizePasses, type ResizePasses } from "./resize-passes-wasm.ts";

export { bicubicWeights, type Weights } from "./resize-weights.ts";

/** Below this many pixels in and out together, starting the fast passes is not worth it. */
const fewPixels = 1024;

function passesFor(image: RGBImage, width: number, height: number): ResizePasses {
  if (image.width * image.height + width * height < fewPixels) return plain;
  return openResizePasses() ?? plain;
}

/**
 * Pillow's `Image.resize((width, height), BICUBIC)`: the same bytes. A side that keeps its length is not filtered.
 *
 * @returns a new image; its data is a copy even when the size is unchanged
 * @throws OptionError for a size that is not a whole number above 0
 */
export function resizeBicubic(image: RGBImage, width: number, height: number): RGBImage {
  for (const [name, value] of [
    ["width", width],
    ["height", height],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new OptionError(name, value, "must be a whole number above 0");
  }
  const { data } = image;
  const { resizeAcross, resizeDown } = passesFor(image, width, height);
  const across = (pixels: Uint8Array, rows: number) =>
    width === image.width ? pixels : resizeAcross(pixels, image.width, rows, width);
  const down = (pixels: Uint8Array, columns: number) =>
    height === image.height ? pixels : resizeDown(pixels, columns, image.height, height);
  const downFirst = image.height > image.width * 100 && height < image.height;
  const resized = downFirst
    ? across(down(data, image.width), height)
    : down(across(data, image.height), width);
  return { width, height, data: resized === data ? data.slice() : resized };
}
