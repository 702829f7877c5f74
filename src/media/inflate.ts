/** Inflates a zlib stream to a length known beforehand, with the platform's own DecompressionStream. */

import { MediaError } from "../errors.ts";

/** Deflate cannot do better: 258 bytes from 2 bits (zlib, technical details). */
const mostExpansion = 1032;

/**
 * The first `length` bytes of the stream that `parts` make together. What follows them is not read, so that neither
 * a bomb nor a missing end of the stream matters.
 *
 * @throws MediaError when the stream is broken or ends early
 */
export async function inflate(parts: Uint8Array[], length: number, source: string): Promise<Uint8Array> {
  const compressedLength = parts.reduce((sum, part) => sum + part.length, 0);
  const tooShort = (have: number | string, cause?: unknown) =>
    new MediaError(
      source,
      `the picture is damaged or cut short: ${have} of ${length} bytes of its pixels are there; get the whole file`,
      { cause },
    );
  if (compressedLength * mostExpansion < length)
    throw tooShort(`at most ${compressedLength * mostExpansion}`);
  const result = new Uint8Array(length);
  const stream = new Blob(parts as Uint8Array<ArrayBuffer>[]).stream();
  const reader = stream.pipeThrough(new DecompressionStream("deflate")).getReader();
  let have = 0;
  try {
    while (have < length) {
      const { value, done } = await reader.read();
      if (done) break;
      result.set(value.subarray(0, length - have), have);
      have += value.length;
    }
  } catch (cause) {
    throw tooShort(have, cause);
  } finally {
    // A broken stream refuses to be cancelled, with the error that is already on its way.
    reader.cancel().catch(() => {});
  }
  if (have < length) throw tooShort(have);
  return result;
}
