import { TokenizerError } from "../errors.ts";
import type { AddedTokens } from "./added-tokens.ts";
import { cleanUpSpaces } from "./clean-up.ts";
import { RawDecoder } from "./raw-decoder.ts";
import { readTokenizerConfig } from "./tokenizer-config.ts";
import type { TokenizerFiles } from "./tokenizer-files.ts";
import { type DecodingRules, openVocabulary, type Vocabulary } from "./vocabulary.ts";

export type { DecodingRules } from "./vocabulary.ts";

/** Text to token ids and back, as the checkpoint's own tokenizer does it. */
export interface Tokenizer {
  /** Ids from here on have no token: one more than the highest id, added tokens included. */
  readonly vocabularySize: number;
  /** What `encode` puts in front, when the checkpoint's rules say so. */
  readonly beginId: number | undefined;
  readonly decoding: DecodingRules;
  /**
   * The ids of a text. Added tokens that the text spells out become their ids. `addSpecial` (default true): put the
   * tokens around it that the checkpoint's rules ask for.
   */
  encode(text: string, options?: { addSpecial?: boolean }): number[];
  /**
   * The text of ids. `skipSpecial` (default true) leaves special tokens out; kept, they stand as they are written, with
   * no spaces around. Errors: `TokenizerError` for an id without a token.
   */
  decode(ids: Iterable<number>, options?: { skipSpecial?: boolean }): string;
  /** The id of an added token or of a piece as the vocabulary writes it, for example `<IMG_CONTEXT>`. */
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** The bytes the id adds to a text, in UTF-8; none for special tokens. Errors: `TokenizerError`, as in `decode`. */
  bytesOf(id: number): Uint8Array;
  isSpecial(id: number): boolean;
}

/** The names of the files a tokenizer is made from. No checkpoint has all of them. */
export const tokenizerFiles: readonly string[] = [
  "tokenizer.model",
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "added_tokens.json",
  "special_tokens_map.json",
];

/**
 * The tokenizer of a checkpoint: `files` holds whichever of `tokenizerFiles` it has, by name. Errors: `TokenizerError`
 * naming the file that is missing or wrong.
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const config = readTokenizerConfig(files);
  const vocabulary = openVocabulary(files, config);
  const { addedTokens } = config;
  for (const token of vocabulary.addedTokens) addedTokens.add(token, "tokenizer.json");
  for (const content of config.specialTokens) {
    const added = addedTokens.get(content);
    const id = added?.id ?? vocabulary.idOf(content);
    // A name that no file gives an id is plain text.
    if (id === undefined) continue;
    const plain = { content, id, lstrip: false, rstrip: false };
    addedTokens.add({ ...plain, ...added, special: true }, "tokenizer_config.json");
  }
  return new FamilyTokenizer(vocabulary, addedTokens);
}

class FamilyTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly beginId: number | undefined;
  readonly decoding: DecodingRules;
  readonly #vocabulary: Vocabulary;
  readonly #added: AddedTokens;
  readonly #before: readonly number[];
  readonly #after: readonly number[];

  constructor(vocabulary: Vocabulary, added: AddedTokens) {
    this.#vocabulary = vocabulary;
    this.#added = added;
    this.vocabularySize = Math.max(vocabulary.size, added.idEnd);
    this.decoding = vocabulary.decoding;
    this.#before = vocabulary.before.map((token) => this.#required(token));
    this.#after = vocabulary.after.map((token) => this.#required(token));
    this.beginId = this.#before[0];
  }

  encode(text: string, options: { addSpecial?: boolean } = {}): number[] {
    const addSpecial = options.addSpecial ?? true;
    const ids: number[] = addSpecial ? [...this.#before] : [];
    this.#added.split(
      text,
      this.#vocabulary.stripsAroundTokens,
      (stretch, start) => this.#vocabulary.encode(stretch, start === 0, ids),
      (id) => ids.push(id),
    );
    if (addSpecial) ids.push(...this.#after);
    return ids;
  }

  decode(ids: Iterable<number>, options: { skipSpecial?: boolean } = {}): string {
    const decoder = new RawDecoder(this, options.skipSpecial ?? true);
    let text = "";
    for (const id of ids) text += decoder.push(id);
    text += decoder.finish();
    return this.decoding.cleansUpSpaces ? cleanUpSpaces(text) : text;
  }

  idOf(token: string): number | undefined {
    return this.#added.get(token)?.id ?? this.#vocabulary.idOf(token);
  }

  tokenOf(id: number): string | undefined {
    return this.#added.at(id)?.content ?? this.#vocabulary.textOf(id);
  }

  bytesOf(id: number): Uint8Array {
    const added = this.#added.at(id);
    if (added !== undefined) return new TextEncoder().encode(added.special ? "" : added.content);
    if (this.#vocabulary.textOf(id) !== undefined) return this.#vocabulary.bytesOf(id);
    throw new TokenizerError(
      "tokenizer",
      `has no token with the id ${id}; ids run from 0 to ${this.vocabularySize - 1}`,
    );
  }

  isSpecial(id: number): boolean {
    return this.#added.at(id)?.special ?? this.#vocabulary.isControl(id);
  }

  #required(token: number | string): number {
    const id = typeof token === "number" ? token : this.idOf(token);
    if (id === undefined || this.tokenOf(id) === undefined) {
      throw new TokenizerError(
        "tokenizer_config.json",
        `asks for the token ${token} around every text, but no file has it; use files of one checkpoint`,
      );
    }
    return id;
  }
}
