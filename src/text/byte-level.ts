import { TokenizerError } from "../errors.ts";
import { mergePairs, PairTable } from "./merge.ts";
import type { PreTokenizer } from "./pre-tokenizer.ts";
import { asId, type JsonObject } from "./tokenizer-files.ts";
import { wellFormed } from "./utf8.ts";
import { WordCache } from "./word-cache.ts";

export interface ByteLevelParts {
  readonly vocabulary: JsonObject;
  /** Pairs in the order in which they merge. */
  readonly merges: readonly (readonly [string, string])[];
  readonly preTokenizer: PreTokenizer;
  /** Unicode normalisation of the text, for example NFC. */
  readonly normalize: (text: string) => string;
  /** A word that is in the vocabulary as it stands is not merged (tokenizer.json). */
  readonly ignoreMerges: boolean;
  /** The file to name in errors about the vocabulary, and about the merges. */
  readonly vocabularyFile: string;
  readonly mergesFile: string;
}

/**
 * Byte-level BPE (GPT-2, Radford et al. 2019): the text is cut into words, a word is its UTF-8 bytes, and bytes merge
 * in the order of the merges list. The vocabulary writes each byte as one printable character (`byteCharacters`).
 */
export class ByteLevel {
  readonly #parts: ByteLevelParts;
  readonly #ids = new Map<string, number>();
  readonly #texts: (string | undefined)[] = [];
  readonly #byteIds = new Int32Array(256);
  readonly #pairs = new PairTable();
  readonly #cache = new WordCache();

  constructor(parts: ByteLevelParts) {
    this.#parts = parts;
    const file = parts.vocabularyFile;
    for (const [text, value] of Object.entries(parts.vocabulary)) {
      const id = asId(value, file, JSON.stringify(text));
      if (this.#texts[id] !== undefined) {
        throw new TokenizerError(file, `gives the id ${id} to two tokens; download it again`);
      }
      this.#ids.set(text, id);
      this.#texts[id] = text;
    }
    for (const [byte, character] of byteCharacters.entries()) {
      const id = this.#ids.get(character);
      if (id === undefined) {
        throw new TokenizerError(
          file,
          `lacks the token of the byte ${byte}; it is damaged or not byte-level BPE`,
        );
      }
      this.#byteIds[byte] = id;
    }
    for (const [rank, [left, right]] of parts.merges.entries()) {
      const [a, b, merged] = [this.#ids.get(left), this.#ids.get(right), this.#ids.get(left + right)];
      if (a === undefined || b === undefined || merged === undefined) {
        throw new TokenizerError(
          parts.mergesFile,
          `merge ${rank} (${JSON.stringify(left)} and ${JSON.stringify(right)}) is not in the vocabulary; use files of one checkpoint`,
        );
      }
      this.#pairs.set(a, b, merged, rank);
    }
  }

  /** One more than the highest id. */
  get size(): number {
    return this.#texts.length;
  }

  idOf(text: string): number | undefined {
    return this.#ids.get(text);
  }

  textOf(id: number): string | undefined {
    return this.#texts[id];
  }

  bytesOf(id: number): Uint8Array {
    const text = this.#texts[id]!;
    const bytes: number[] = [];
    for (const character of text) {
      const byte = characterBytes.get(character);
      // A token that is not written in byte characters stands for its own text.
      if (byte === undefined) return new TextEncoder().encode(text);
      bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  }

  /** Appends the ids of `text` to `ids`. */
  encode(text: string, ids: number[]): void {
    const { preTokenizer, normalize } = this.#parts;
    let normal = normalize(wellFormed(text));
    if (preTokenizer.addPrefixSpace && !normal.startsWith(" ")) normal = ` ${normal}`;
    preTokenizer.forEachWord(normal, (word) => {
      let known = this.#cache.get(word);
      if (known === undefined) {
        known = this.#encodeWord(word);
        this.#cache.set(word, known);
      }
      for (const id of known) ids.push(id);
    });
  }

  #encodeWord(word: string): readonly number[] {
    const bytes = new TextEncoder().encode(word);
    if (this.#parts.ignoreMerges) {
      let written = "";
      for (const byte of bytes) written += byteCharacters[byte];
      const id = this.#ids.get(written);
      if (id !== undefined) return [id];
    }
    const symbols = Int32Array.from(bytes, (byte) => this.#byteIds[byte]);
    return [...symbols.subarray(0, mergePairs(symbols, symbols.length, this.#pairs))];
  }
}

/** `merges.txt`: a version line, then a pair a line. Errors: `TokenizerError` naming the line. */
export function parseMerges(text: string, file: string): [string, string][] {
  const merges: [string, string][] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const pair = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (pair === "" || (index === 0 && pair.startsWith("#version"))) continue;
    merges.push(parsePair(pair, file, `line ${index + 1}`));
  }
  return merges;
}

/** Two tokens with one space between: neither can hold a space. */
export function parsePair(pair: string, file: string, where: string): [string, string] {
  const parts = pair.split(" ");
  if (parts.length !== 2 || parts[0] === "" || parts[1] === "") {
    throw new TokenizerError(file, `${where} is not a pair of tokens; download it again`);
  }
  return [parts[0], parts[1]];
}

/** GPT-2's `bytes_to_unicode`: printable bytes are themselves, the others are moved to U+0100 and on. */
export const byteCharacters: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const printable = (at: number) => (at > 0x20 && at < 0x7f) || (at > 0xa0 && at !== 0xad);
  if (printable(byte)) return String.fromCharCode(byte);
  let moved = 0;
  for (let before = 0; before < byte; before++) if (!printable(before)) moved++;
  return String.fromCharCode(0x100 + moved);
});

const characterBytes: ReadonlyMap<string, number> = new Map(
  byteCharacters.map((character, byte) => [character, byte]),
);
