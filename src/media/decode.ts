/** Bytes of a picture file to RGB, exactly as Pillow's `Image.open(...).convert("RGB")` gives it. */

import { MediaError, OptionError } from "../errors.ts";
import { decodeBmp } from "./bmp.ts";
import { applyOrientation, readOrientation } from "./exif.ts";
import { sniffFormat } from "./format.ts";
import { decodeGif } from "./gif.ts";
import { checkByteLength, type ImageLimits, type RGBImage, resolveLimits } from "./image.ts";
import { decodeJpeg } from "./jpeg.ts";
import { decodePng } from "./png.ts";
import { decodeWebp } from "./webp.ts";

export interface DecodeOptions {
  /**
   * Turn the picture upright by its EXIF orientation (Pillow's `ImageOps.exif_transpose`). False when not given, as in
   * the published inference code. A TIFF is always turned, as Pillow does when it opens one, and an AVIF by its
   * container.
   */
  exif?: boolean;
  /** How large a picture may be; see `ImageLimits`. */
  limits?: Partial<ImageLimits>;
  /** What to call the picture in messages. */
  source?: string;
}

/** @throws MediaError outside Node, where there is no sharp. */
async function decodeInNode(
  kind: "TIFF" | "AVIF",
  bytes: Uint8Array,
  source: string,
  limits: ImageLimits,
): Promise<RGBImage> {
  if (typeof process === "undefined" || !process.versions?.node) {
    throw new MediaError(source, `${kind} cannot be decoded in a browser; save it as PNG, JPEG or WebP`);
  }
  const { decodeWithSharp } = await import("./sharp.node.ts");
  return decodeWithSharp(kind, bytes, source, limits);
}

async function toBytes(input: Uint8Array | ArrayBuffer | Blob, source: string): Promise<Uint8Array> {
  if (input instanceof Uint8Array) return input;
  if (input instanceof ArrayBuffer) return new Uint8Array(input);
  if (input instanceof Blob) return new Uint8Array(await input.arrayBuffer());
  throw new MediaError(
    source,
    "this is not a Uint8Array, an ArrayBuffer or a Blob; pass the bytes of a picture",
  );
}

/**
 * Decodes a picture, by its first bytes: JPEG, PNG, WebP, GIF, BMP everywhere; in Node with the optional package
 * `sharp` also TIFF, AVIF and CMYK JPEG. The pixels are those of Pillow's `convert("RGB")`: alpha is dropped, not
 * composited; 16-bit gray is clipped at 255; of an animation it is the first frame; colour profiles are ignored.
 *
 * @returns RGB bytes `[height, width, 3]`
 * @throws MediaError when it is something else, damaged, cut short or beyond the limits; OptionError
 */
export async function decodeImage(
  input: Uint8Array | ArrayBuffer | Blob,
  options: DecodeOptions = {},
): Promise<RGBImage> {
  const { exif = false, source = "bytes" } = options;
  if (typeof exif !== "boolean") throw new OptionError("exif", exif, "must be true or false");
  const limits = resolveLimits(options.limits);
  const inputLength = input instanceof Blob ? input.size : input?.byteLength;
  checkByteLength(source, inputLength, limits);
  const bytes = await toBytes(input, source);
  const sniffed = sniffFormat(bytes);
  if (!("format" in sniffed)) {
    throw new MediaError(source, `this cannot be read as a picture: ${sniffed.seen}; ${sniffed.remedy}`);
  }
  const upright = (decoded: { image: RGBImage; exif: Uint8Array | undefined }) =>
    exif ? applyOrientation(decoded.image, readOrientation(decoded.exif)) : decoded.image;
  switch (sniffed.format) {
    case "jpeg":
      return upright(await decodeJpeg(bytes, source, limits));
    case "png":
      return upright(await decodePng(bytes, source, limits));
    case "webp":
      return upright(await decodeWebp(bytes, source, limits));
    case "gif":
      return decodeGif(bytes, source, limits);
    case "bmp":
      return decodeBmp(bytes, source, limits);
    case "tiff":
      return decodeInNode("TIFF", bytes, source, limits);
    case "avif":
      return decodeInNode("AVIF", bytes, source, limits);
  }
}
