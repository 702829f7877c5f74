/** LZW as GIF has it: codes grow from `codeBits + 1` to 12 bits, the low bits first (GIF89a, appendix F). */

const mostCodes = 4096;

/**
 * The first `length` bytes that the codes stand for.
 *
 * @returns undefined when the codes are broken or too few
 */
export function lzwDecode(compressed: Uint8Array, codeBits: number, length: number): Uint8Array | undefined {
  const clear = 1 << codeBits;
  const end = clear + 1;
  // An entry is the string of an earlier code and one byte more.
  const prefix = new Uint16Array(mostCodes);
  const suffix = new Uint8Array(mostCodes);
  const lengths = new Uint16Array(mostCodes);
  for (let code = 0; code < clear; code++) {
    suffix[code] = code;
    lengths[code] = 1;
  }
  const result = new Uint8Array(length);
  let have = 0;
  let next = end + 1;
  let width = codeBits + 1;
  let previous = -1;
  let bits = 0;
  let bitCount = 0;
  for (let read = 0; have < length; ) {
    while (bitCount < width) {
      if (read >= compressed.length) return undefined;
      bits |= compressed[read++] << bitCount;
      bitCount += 8;
    }
    const code = bits & ((1 << width) - 1);
    bits >>>= width;
    bitCount -= width;
    if (code === clear) {
      next = end + 1;
      width = codeBits + 1;
      previous = -1;
      continue;
    }
    if (code === end) return undefined;
    const isNew = code === next && previous >= 0;
    if (code > end && code >= next && !isNew) return undefined;
    if (previous < 0 && code > end) return undefined;

    // A code that is only now being made stands for the previous string and that string's first byte.
    const known = isNew ? previous : code;
    const count = lengths[known];
    let at = have + count;
    let walk = known;
    for (; lengths[walk] > 1; walk = prefix[walk]) result[--at] = suffix[walk];
    const first = suffix[walk];
    result[have] = first;
    have += count;
    if (isNew) result[have++] = first;

    if (previous >= 0 && next < mostCodes) {
      prefix[next] = previous;
      suffix[next] = first;
      lengths[next] = lengths[previous] + 1;
      next++;
      if (next === 1 << width && width < 12) width++;
    }
    previous = code;
  }
  return result;
}
