import type { Tokenizer } from "../text/tokenizer.ts";

/** A tokenizer whose tokens have no text: prompts here are ids, and no answer is read. */
export function blankTokenizer(vocabularySize: number): Tokenizer {
  return {
    vocabularySize,
    beginId: undefined,
    decoding: { dropsFirstSpace: false, cleansUpSpaces: false, invalidBytes: "each" },
    encode: () => [],
    decode: () => "",
    idOf: () => undefined,
    tokenOf: () => undefined,
    bytesOf: () => new Uint8Array(),
    isSpecial: () => false,
  };
}
