/** Wherever a picture is: a path, an address, bytes, a Blob or pixels. */

import { FileError, InternVLError, MediaError } from "../errors.ts";
import { decodeImage } from "./decode.ts";
import { checkByteLength, checkRGBImage, type ImageLimits, type RGBImage, resolveLimits } from "./image.ts";

/** A string is an address when it begins with `http:`, `https:`, `data:`, `blob:` or `file:`, and else a path (Node). */
export type ImageSource = string | URL | Uint8Array | ArrayBuffer | Blob | RGBImage;

export interface LoadImageOptions {
  /** Cancels; `AbortSignal.timeout(ms)` bounds the time. */
  signal?: AbortSignal;
  /** Turn the picture upright by its EXIF orientation. False when not given. Raw pixels have none. */
  exif?: boolean;
  limits?: Partial<ImageLimits>;
  /** Used for `http:` and `https:` in place of the global one: for headers, a proxy, a cache. */
  fetch?: typeof fetch;
}

const isRGBImage = (source: object): source is RGBImage =>
  "width" in source && "height" in source && "data" in source;

/** An address as messages show it: without password, and not a megabyte of it. */
function nameOf(url: URL): string {
  const shown = url.href.replace(/\/\/[^/@]*@/, "//");
  return shown.length > 200 ? `${shown.slice(0, 100)}…` : shown;
}

/** The body, read up to the byte limit and no further. */
async function readBody(response: Response, source: string, limits: ImageLimits): Promise<Uint8Array> {
  const announced = Number(response.headers.get("content-length") ?? 0);
  try {
    checkByteLength(source, announced, limits);
  } catch (error) {
    await response.body?.cancel();
    throw error;
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) break;
    parts.push(piece.value);
    length += piece.value.length;
    if (length <= limits.maxBytes) continue;
    await reader?.cancel();
    checkByteLength(source, length, limits);
  }
  const bytes = new Uint8Array(length);
  let position = 0;
  for (const part of parts) {
    bytes.set(part, position);
    position += part.length;
  }
  return bytes;
}

async function download(url: URL, options: LoadImageOptions, limits: ImageLimits): Promise<Uint8Array> {
  const { signal } = options;
  const source = nameOf(url);
  if (url.username || url.password) {
    throw new MediaError(
      source,
      "an address with a user or password is not fetched; send headers through fetch",
    );
  }
  const isWeb = url.protocol === "http:" || url.protocol === "https:";
  const get = isWeb ? (options.fetch ?? fetch) : fetch;
  try {
    const response = await get(url, { signal });
    if (!response.ok) {
      await response.body?.cancel();
      const status = `${response.status} ${response.statusText}`.trim();
      throw new MediaError(source, `the server answered ${status}; check the address`);
    }
    return await readBody(response, source, limits);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof InternVLError) throw error;
    const cause =
      error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new MediaError(source, `it could not be fetched (${cause}); check the address and the network`, {
      cause: error,
    });
  }
}

async function readPath(
  path: string,
  signal: AbortSignal | undefined,
  limits: ImageLimits,
): Promise<Uint8Array> {
  if (typeof process === "undefined" || !process.versions?.node) {
    throw new FileError(path, "a browser cannot open paths; give an address, a Blob or bytes");
  }
  const { readPictureFile } = await import("./sources.node.ts");
  return readPictureFile(path, signal, limits);
}

/** A Windows path such as `C:\cat.jpg` has a letter before its colon, and so is no address. */
const asURL = (source: string | URL): URL | undefined => {
  if (typeof source !== "string") return source;
  return /^(https?|data|blob|file):/i.test(source) && URL.canParse(source) ? new URL(source) : undefined;
};

/**
 * Reads and decodes a picture.
 *
 * @returns RGB bytes `[height, width, 3]`, as `decodeImage` gives them; raw pixels come back checked, not copied
 * @throws FileError for a path that cannot be read; MediaError for an address that does not answer, and for what
 * `decodeImage` refuses; the signal's reason when it is aborted
 */
export async function loadImage(source: ImageSource, options: LoadImageOptions = {}): Promise<RGBImage> {
  const { signal, exif } = options;
  const limits = resolveLimits(options.limits);
  signal?.throwIfAborted();
  if (typeof source === "string" || source instanceof URL) {
    const url = asURL(source);
    if (url?.protocol === "file:" || url === undefined) {
      const bytes = await readPath(url?.href ?? String(source), signal, limits);
      return decodeImage(bytes, { exif, limits, source: String(source) });
    }
    const bytes = await download(url, options, limits);
    signal?.throwIfAborted();
    return decodeImage(bytes, { exif, limits, source: nameOf(url) });
  }
  if (source instanceof Uint8Array || source instanceof ArrayBuffer || source instanceof Blob) {
    return decodeImage(source, { exif, limits });
  }
  if (typeof source === "object" && source !== null && isRGBImage(source)) {
    return checkRGBImage(source, "image", limits);
  }
  throw new MediaError(
    "image",
    "this is not a picture; give a path, an address, bytes, a Blob or { width, height, data }",
  );
}
