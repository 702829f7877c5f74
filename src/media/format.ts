/** What kind of file some bytes are, by their first bytes alone: names and content types lie. */

export type ImageFormat = "jpeg" | "png" | "webp" | "gif" | "bmp" | "tiff" | "avif";

/** A format that `decodeImage` reads, or in words what was seen in its place and what to do about it. */
export type Sniffed = { format: ImageFormat } | { seen: string; remedy: string };

const saveAs = "save it as PNG or JPEG";

/** Brands of ISO media files (ISO/IEC 14496-12) that hold pictures. */
const heicBrands = new Set(["heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"]);

export function sniffFormat(bytes: Uint8Array): Sniffed {
  const at = (from: number, text: string) =>
    bytes.length >= from + text.length &&
    [...text].every((letter, i) => bytes[from + i] === letter.charCodeAt(0));
  if (bytes.length === 0) return { seen: "it is empty", remedy: "get the file again" };
  if (at(0, "\xff\xd8\xff")) return { format: "jpeg" };
  if (at(0, "\x89PNG\r\n\x1a\n")) return { format: "png" };
  if (at(0, "RIFF") && at(8, "WEBP")) return { format: "webp" };
  if (at(0, "GIF87a") || at(0, "GIF89a")) return { format: "gif" };
  if (at(0, "BM")) return { format: "bmp" };
  if (at(0, "II*\0") || at(0, "MM\0*")) return { format: "tiff" };
  if (at(4, "ftyp")) return sniffIsoMedia(bytes);
  if (at(0, "\x1a\x45\xdf\xa3")) return video("Matroska or WebM");
  if (at(0, "RIFF") && at(8, "AVI ")) return video("AVI");
  if (at(0, "%PDF")) return { seen: "it is a PDF document", remedy: "render its pages to PNG" };
  if (at(0, "\xff\x0a") || at(4, "JXL ")) return { seen: "it is a JPEG XL picture", remedy: saveAs };
  if (at(4, "jP  ") || at(0, "\xff\x4f\xff\x51"))
    return { seen: "it is a JPEG 2000 picture", remedy: saveAs };
  if (at(0, "8BPS")) return { seen: "it is a Photoshop document", remedy: saveAs };
  if (at(0, "\0\0\x01\0")) return { seen: "it is an icon (ICO)", remedy: saveAs };
  return sniffText(bytes);
}

function video(kind: string): Sniffed {
  return { seen: `it is a ${kind} video, not a picture`, remedy: "give it as a video" };
}

function sniffIsoMedia(bytes: Uint8Array): Sniffed {
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
  const brands: string[] = [];
  // The major brand, its version, and the compatible brands.
  for (let position = 8; position + 4 <= Math.min(length, bytes.length, 256); position += 4) {
    if (position !== 12) brands.push(String.fromCharCode(...bytes.subarray(position, position + 4)));
  }
  if (brands.includes("avif") || brands.includes("avis")) return { format: "avif" };
  if (brands.some((brand) => heicBrands.has(brand))) return { seen: "it is a HEIC picture", remedy: saveAs };
  return video("MP4 or QuickTime");
}

function sniffText(bytes: Uint8Array): Sniffed {
  const start = new TextDecoder("latin1")
    .decode(bytes.subarray(0, 512))
    .replace(/^ï»¿/, "")
    .trimStart()
    .toLowerCase();
  if (start.startsWith("<svg") || (start.startsWith("<?xml") && start.includes("<svg"))) {
    return { seen: "it is an SVG drawing", remedy: "render it to PNG" };
  }
  if (/^<(!doctype html|html|head|body|!--|script|meta)/.test(start)) {
    return { seen: "it is an HTML page, not a picture", remedy: "use the address of the picture itself" };
  }
  if (start.startsWith("version https://git-lfs")) {
    return { seen: "it is a Git LFS pointer, not a picture", remedy: "run git lfs pull" };
  }
  const head = [...bytes.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return {
    seen: `it is none of JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF (it begins with ${head})`,
    remedy: saveAs,
  };
}
