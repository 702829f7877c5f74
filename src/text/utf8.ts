const replacement = "\uFFFD";

/** Half of a surrogate pair without the other half is no character: it becomes U+FFFD, as in UTF-8 it must. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? text.replace(/\p{Surrogate}/gu, replacement) : text;
}

/**
 * How bytes that are not UTF-8 become U+FFFD: `each` byte one (sentencepiece), or one for the `longest` beginning of a
 * character (Unicode's recommendation, and what Python and Rust do).
 */
export type InvalidBytes = "each" | "longest";

/** UTF-8 to text, in pieces: what may still become a character is held back. */
export interface Utf8Decoder {
  push(bytes: Uint8Array): string;
  finish(): string;
}

export function createUtf8Decoder(invalid: InvalidBytes): Utf8Decoder {
  if (invalid === "each") return new EachByteDecoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return { push: (bytes) => decoder.decode(bytes, { stream: true }), finish: () => decoder.decode() };
}

class EachByteDecoder implements Utf8Decoder {
  readonly #strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #held = new Uint8Array();

  push(bytes: Uint8Array): string {
    return this.#decode(bytes, false);
  }

  finish(): string {
    return this.#decode(new Uint8Array(), true);
  }

  #decode(added: Uint8Array, atEnd: boolean): string {
    let bytes = added;
    if (this.#held.length > 0) {
      bytes = new Uint8Array(this.#held.length + added.length);
      bytes.set(this.#held);
      bytes.set(added, this.#held.length);
    }
    let text = "";
    let clean = 0;
    let at = 0;
    while (at < bytes.length) {
      const length = bytes[at] < 0x80 ? 1 : characterLength(bytes, at);
      if (length === incomplete && !atEnd) break;
      if (length > 0) {
        at += length;
        continue;
      }
      text += this.#strict.decode(bytes.subarray(clean, at)) + replacement;
      clean = ++at;
    }
    text += this.#strict.decode(bytes.subarray(clean, at));
    this.#held = bytes.slice(at);
    return text;
  }
}

const incomplete = -1;

/** The length of the character at `at`, 0 when there is none, `incomplete` when the bytes end too early to say. */
function characterLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at];
  const length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  for (let offset = 1; offset < length; offset++) {
    if (at + offset === bytes.length) return incomplete;
    const byte = bytes[at + offset];
    if ((byte & 0xc0) !== 0x80) return 0;
    // The second byte shuts out overlong forms, surrogates and what lies beyond U+10FFFF.
    if (offset === 1) {
      if (lead === 0xe0 && byte < 0xa0) return 0;
      if (lead === 0xed && byte > 0x9f) return 0;
      if (lead === 0xf0 && byte < 0x90) return 0;
      if (lead === 0xf4 && byte > 0x8f) return 0;
    }
  }
  return length;
}
