/** What only libvips reads for us: CMYK JPEG, TIFF and AVIF. `sharp` is an optional dependency. */

import type { Sharp, SharpOptions } from "sharp";
import { MediaError } from "../errors.ts";
import { cmykToRGB, toRGB } from "./colors.ts";
import { readTag } from "./exif.ts";
import { checkSize, type ImageLimits, type RGBImage } from "./image.ts";

type Open = (bytes: Uint8Array) => Sharp;

/** Sizes are checked by us, colour profiles are left alone as Pillow leaves them, and warnings are no errors. */
const options: SharpOptions = { limitInputPixels: false, ignoreIcc: true, failOn: "truncated" };

async function loadSharp(kind: string, source: string): Promise<Open> {
  try {
    const { default: sharp } = await import("sharp");
    return (bytes) => sharp(bytes, options);
  } catch (cause) {
    throw new MediaError(
      source,
      `${kind} needs the optional package sharp, which is not installed; npm install sharp, or save it as RGB PNG`,
      { cause },
    );
  }
}

function damaged(kind: string, source: string, cause: unknown): MediaError {
  const detail = cause instanceof Error ? ` (${cause.message.split("\n")[0]})` : "";
  return new MediaError(
    source,
    `this ${kind} is damaged or of an unknown kind${detail}; save it again as PNG`,
    {
      cause,
    },
  );
}

/** The four inks as stored, through no colour profile: `[height, width, 4]`. */
async function readInks(image: Sharp): Promise<{ data: Uint8Array; width: number; height: number }> {
  const raw = image.pipelineColourspace("cmyk").toColourspace("cmyk").raw();
  const { data, info } = await raw.toBuffer({ resolveWithObject: true });
  if (info.channels !== 4) throw new Error(`${info.channels} channels where CMYK has 4`);
  return { data, width: info.width, height: info.height };
}

/**
 * A JPEG of four components, CMYK or YCCK. Pillow and libvips both take the inks to be stored inverted, as Photoshop
 * does.
 *
 * @throws MediaError
 */
export async function decodeCmykJpeg(bytes: Uint8Array, source: string): Promise<RGBImage> {
  const open = await loadSharp("a CMYK JPEG", source);
  try {
    const { data, width, height } = await readInks(open(bytes));
    return { width, height, data: cmykToRGB(data) };
  } catch (cause) {
    throw damaged("CMYK JPEG", source, cause);
  }
}

const [compressionTag, photometricTag] = [259, 262];
const [jpegCompression, yCbCr] = [7, 6];

/**
 * The first page of a TIFF, or an AVIF; both turned upright. A TIFF has Pillow's pixels. An AVIF is near them, not
 * the same: libheif and libavif stretch chroma differently.
 *
 * @throws MediaError
 */
export async function decodeWithSharp(
  kind: "TIFF" | "AVIF",
  bytes: Uint8Array,
  source: string,
  limits: ImageLimits,
): Promise<RGBImage> {
  // libvips takes these for RGB, unless libjpeg has converted them.
  if (
    kind === "TIFF" &&
    readTag(bytes, photometricTag) === yCbCr &&
    readTag(bytes, compressionTag) !== jpegCompression
  ) {
    throw new MediaError(source, "a TIFF in YCbCr without JPEG compression is not supported; save it as RGB");
  }
  const open = await loadSharp(kind, source);
  const metadata = await open(bytes)
    .metadata()
    .catch((cause: unknown) => {
      throw damaged(kind, source, cause);
    });
  checkSize(source, metadata.width, metadata.height, limits);
  const image = kind === "TIFF" ? open(bytes).autoOrient() : open(bytes);
  const { space, depth } = metadata;
  try {
    if (space === "cmyk" && depth === "uchar") {
      const { data, width, height } = await readInks(image);
      return { width, height, data: cmykToRGB(data) };
    }
    if (space === "grey16" && depth === "ushort" && metadata.channels === 1) {
      const raw = image.toColourspace("grey16").raw({ depth: "ushort" });
      const { data, info } = await raw.toBuffer({ resolveWithObject: true });
      const samples = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
      // Pillow opens these as "I;16", and that clips on its way to RGB.
      const levels = Uint8ClampedArray.from(samples);
      return { width: info.width, height: info.height, data: toRGB(levels, 1) };
    }
    if (depth === "uchar" && (space === "srgb" || space === "b-w")) {
      const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
      return { width: info.width, height: info.height, data: toRGB(data, info.channels) };
    }
  } catch (cause) {
    throw damaged(kind, source, cause);
  }
  throw new MediaError(
    source,
    `${kind} with samples of type ${depth} in colour space ${space} is not supported; save it as 8-bit RGB`,
  );
}
