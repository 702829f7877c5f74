/**
 * A decoded picture, and how large one may be. The same type carries a still image, a frame of a clip and a raw
 * picture from the caller.
 */

import { MediaError, OptionError } from "../errors.ts";

/** 8-bit RGB, row by row, no padding, no alpha. */
export interface RGBImage {
  width: number;
  height: number;
  /** `[height, width, 3]` */
  data: Uint8Array;
}

/** What a picture may cost. A file beyond a limit is refused by its header, before anything of its size is allocated. */
export interface ImageLimits {
  /** Width times height. Pillow's own bound against decompression bombs: 2 * floor(1 GiB / 4 / 3). */
  maxPixels: number;
  /** Bytes of the encoded file. */
  maxBytes: number;
  /** Longer side over shorter side. */
  maxAspectRatio: number;
}

export const defaultImageLimits: Readonly<ImageLimits> = {
  maxPixels: 178_956_970,
  maxBytes: 256 * 1024 * 1024,
  maxAspectRatio: 200,
};

const unlimited: Readonly<ImageLimits> = {
  maxPixels: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  maxAspectRatio: Number.POSITIVE_INFINITY,
};

/**
 * The default limits with the caller's in their place.
 *
 * @throws OptionError for a limit that is not a positive number.
 */
export function resolveLimits(limits: Partial<ImageLimits> = {}): ImageLimits {
  const resolved = { ...defaultImageLimits };
  for (const name of ["maxPixels", "maxBytes", "maxAspectRatio"] as const) {
    const value = limits[name];
    if (value === undefined) continue;
    if (typeof value !== "number" || !(value > 0)) {
      throw new OptionError(`limits.${name}`, value, "must be a number above 0");
    }
    resolved[name] = value;
  }
  return resolved;
}

/**
 * Refuses a size that is empty, larger than `maxPixels` or longer than `maxAspectRatio`.
 *
 * @param source what is being read, for the message
 * @throws MediaError
 */
export function checkSize(source: string, width: number, height: number, limits: ImageLimits): void {
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
    throw new MediaError(source, `a picture of ${width}x${height} has no pixels; give one of at least 1x1`);
  }
  if (width * height > limits.maxPixels) {
    throw new MediaError(
      source,
      `${width}x${height} is ${width * height} pixels, over the limit of ${limits.maxPixels}; ` +
        "make it smaller, or raise limits.maxPixels if you trust it",
    );
  }
  const ratio = Math.max(width / height, height / width);
  if (ratio > limits.maxAspectRatio) {
    throw new MediaError(
      source,
      `${width}x${height} is ${Math.round(ratio)} times longer than wide, over the limit of ` +
        `${limits.maxAspectRatio}; crop it, or raise limits.maxAspectRatio`,
    );
  }
}

/** Refuses a file of more than `maxBytes`. @throws MediaError */
export function checkByteLength(source: string, byteLength: number, limits: ImageLimits): void {
  if (byteLength <= limits.maxBytes) return;
  throw new MediaError(
    source,
    `${byteLength} bytes are over the limit of ${limits.maxBytes}; use a smaller file, or raise limits.maxBytes`,
  );
}

/**
 * Checks raw pixels from a caller: `data` must be exactly `[height, width, 3]` bytes. What was decoded within the
 * caller's limits is not measured against them again: without `limits` any size will do.
 *
 * @throws MediaError
 */
export function checkRGBImage(image: RGBImage, source = "image", limits = unlimited): RGBImage {
  const { width, height, data } = image;
  checkSize(source, width, height, limits);
  if (!(data instanceof Uint8Array)) {
    throw new MediaError(source, "data must be a Uint8Array of RGB bytes; copy it with Uint8Array.from");
  }
  const wanted = width * height * 3;
  if (data.length !== wanted) {
    const rgba = data.length === width * height * 4 ? "; it looks like RGBA: drop every fourth byte" : "";
    throw new MediaError(
      source,
      `data has ${data.length} bytes, but ${width}x${height} RGB needs ${wanted} (width * height * 3)${rgba}`,
    );
  }
  return image;
}
