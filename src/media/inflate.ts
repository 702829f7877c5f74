/** Inflates a zlib stream to a length known beforehand, with the platform's own DecompressionStream. */

import { MediaError } from "../errors.ts";

/** Deflate cannot do better: 258 bytes from 2 bits (zlib, technical details). */
const mostExpansion = 1032;

/**
 * The first `length` bytes of the stream that `parts` make together. What the stream holds beyond them is not read.
 *
 * @param cut the end of the stream is known to be missing: its check sum is then not asked for, as in Pillow
 * @throws MediaError when the stream is broken or has fewer bytes
 */
export async function inflate(
  parts: Uint8Array[],
  length: number,
  cut: boolean,
  source: string,
): Promise<Uint8Array> {
  const compressedLength = parts.reduce((sum, part) => sum + part.length, 0);
  const damaged = (problem: string, cause?: unknown) =>
    new MediaError(source, `the picture is damaged or cut short: ${problem}; get the whole file`, { cause });
  // Before allocating for a length that these bytes cannot hold.
  const most = compressedLength * mostExpansion;
  if (most < length) throw damaged(`its ${compressedLength} bytes cannot hold the pixels it claims`);
  const result = new Uint8Array(length);
  const stream = new Blob(parts as Uint8Array<ArrayBuffer>[]).stream();
  const reader = stream.pipeThrough(new DecompressionStream("deflate")).getReader();
  let have = 0;
  try {
    while (have <= length) {
      const { value, done } = await reader.read();
      if (done) break;
      result.set(value.subarray(0, length - have), have);
      have += value.length;
    }
  } catch (cause) {
    if (have < length || !cut) throw damaged("its compressed pixels are broken", cause);
  } finally {
    // A broken stream refuses to be cancelled, with the error that is already on its way.
    reader.cancel().catch(() => {});
  }
  if (have < length) throw damaged(`${have} of ${length} bytes of its pixels are there`);
  return result;
}
