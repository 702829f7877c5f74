import { TokenizerError } from "../errors.ts";
import { literalPattern } from "./added-tokens.ts";
import { mergePairs, PairTable } from "./merge.ts";
import { pairsOf, type SpelledPiece } from "./piece-pairs.ts";
import { pieceType, type SentencePieceModel } from "./sentencepiece-model.ts";
import { wellFormed } from "./utf8.ts";
import { WordCache } from "./word-cache.ts";

const spaceMark = "\u2581";

/**
 * Sentencepiece BPE (Kudo and Richardson 2018, as published in sentencepiece's `bpe_model.cc`): characters merge pair
 * by pair, the pair whose text is the piece of the highest score first, the leftmost of equals; what is left without a
 * piece becomes UTF-8 bytes, or UNKNOWN in a model without byte fallback.
 */
export class SentencePiece {
  readonly #model: SentencePieceModel;
  readonly #file: string;
  /** Text to id, for the pieces that text can turn into. */
  readonly #ids = new Map<string, number>();
  readonly #allIds = new Map<string, number>();
  readonly #bytes = new Int32Array(256).fill(-1);
  readonly #unknown: number | undefined;
  /** Character to symbol, by code point: its id, or from `size` on for one that only occurs inside pieces. */
  readonly #basic = new Int32Array(0x10000).fill(-1);
  readonly #astral = new Map<number, number>();
  readonly #pairs: PairTable;
  /** Neighbouring characters of some piece. Text can be cut everywhere else: no merge can reach across. */
  readonly #neighbours = new PairTable();
  readonly #userDefined: RegExp | undefined;
  readonly #hasUnused: boolean;
  readonly #cache = new WordCache();
  /** The characters of the symbols from `size` on. */
  readonly #loose: string[] = [];

  constructor(model: SentencePieceModel, file = "tokenizer.model") {
    this.#model = model;
    this.#file = file;
    const { pieces } = model;
    const userDefined: string[] = [];
    for (const [id, { text, type }] of pieces.entries()) {
      if (this.#allIds.has(text)) {
        throw new TokenizerError(file, `holds the piece ${JSON.stringify(text)} twice; download it again`);
      }
      this.#allIds.set(text, id);
      if (type === pieceType.unknown) this.#unknown = id;
      else if (type === pieceType.byte) this.#bytes[this.#byteValue(text)] = id;
      else if (type !== pieceType.control) this.#ids.set(text, id);
      if (type === pieceType.userDefined) userDefined.push(text);
    }
    if (model.byteFallback && this.#bytes.includes(-1)) {
      throw new TokenizerError(
        file,
        "promises byte fallback but lacks some of the 256 byte pieces; download it again",
      );
    }
    if (!model.byteFallback && this.#unknown === undefined) {
      throw new TokenizerError(file, "has neither byte fallback nor an UNKNOWN piece; download it again");
    }
    if (userDefined.length > 0) this.#userDefined = literalPattern(userDefined);
    this.#hasUnused = pieces.some((piece) => piece.type === pieceType.unused);
    this.#pairs = pairsOf(this.#spell());
  }

  get size(): number {
    return this.#model.pieces.length;
  }

  idOf(text: string): number | undefined {
    return this.#allIds.get(text);
  }

  textOf(id: number): string | undefined {
    return this.#model.pieces[id]?.text;
  }

  isControl(id: number): boolean {
    return this.#model.pieces[id]?.type === pieceType.control;
  }

  /** What the piece adds to a text, in UTF-8. */
  bytesOf(id: number): Uint8Array {
    const { text, type } = this.#model.pieces[id];
    if (type === pieceType.control) return new Uint8Array();
    if (type === pieceType.byte) return Uint8Array.of(this.#byteValue(text));
    const shown = type === pieceType.unknown ? this.#model.unknownSurface : text;
    return new TextEncoder().encode(shown.replaceAll(spaceMark, " "));
  }

  /** Appends the ids of `text` to `ids`. `prefix`: put a space in front, where sentencepiece's dummy prefix goes. */
  encode(text: string, prefix: boolean, ids: number[]): void {
    if (text === "") return;
    let escaped = wellFormed(prefix ? ` ${text}` : text);
    if (this.#model.escapeWhitespaces) escaped = escaped.replaceAll(" ", spaceMark);
    let at = 0;
    if (this.#userDefined !== undefined) {
      for (const match of escaped.matchAll(this.#userDefined)) {
        this.#encodePlain(escaped, at, match.index, ids);
        ids.push(this.#ids.get(match[0])!);
        at = match.index + match[0].length;
      }
    }
    this.#encodePlain(escaped, at, escaped.length, ids);
  }

  /** The stretch `text[start, end)`, which holds no user-defined piece. */
  #encodePlain(text: string, start: number, end: number, ids: number[]): void {
    let wordStart = start;
    let last = -1;
    for (let at = start; at < end; ) {
      const codePoint = text.codePointAt(at)!;
      const symbol = this.#symbolOf(codePoint);
      if (at > wordStart && this.#neighbours.find(last, symbol) < 0) {
        this.#encodeWord(text.slice(wordStart, at), ids);
        wordStart = at;
      }
      last = symbol;
      at += codePoint > 0xffff ? 2 : 1;
    }
    if (end > wordStart) this.#encodeWord(text.slice(wordStart, end), ids);
  }

  /** Characters that may merge, or one that is in no piece. */
  #encodeWord(word: string, ids: number[]): void {
    let known = this.#cache.get(word);
    if (known === undefined) {
      known = this.#merge(word);
      this.#cache.set(word, known);
    }
    for (const id of known) ids.push(id);
  }

  #merge(word: string): number[] {
    const symbols = new Int32Array(word.length);
    let count = 0;
    for (const character of word) symbols[count++] = this.#symbolOf(character.codePointAt(0)!);
    // A piece of type UNUSED may be merged through, but what stays of it is taken apart as it was last put together.
    const unused = new Map<number, readonly number[]>();
    const note = (left: number, right: number, merged: number): void => {
      if (this.#model.pieces[merged].type === pieceType.unused) unused.set(merged, [left, right]);
    };
    count = mergePairs(symbols, count, this.#pairs, this.#hasUnused ? note : undefined);
    const ids: number[] = [];
    const emit = (symbol: number): void => {
      const parts = unused.get(symbol);
      if (parts !== undefined) parts.forEach(emit);
      else if (symbol >= 0 && symbol < this.size) ids.push(symbol);
      else if (!this.#model.byteFallback) ids.push(this.#unknown!);
      else {
        const character = symbol < 0 ? word : this.#loose[symbol - this.size];
        for (const byte of new TextEncoder().encode(character)) ids.push(this.#bytes[byte]);
      }
    };
    symbols.subarray(0, count).forEach(emit);
    return ids;
  }

  #symbolOf(codePoint: number): number {
    return codePoint < 0x10000 ? this.#basic[codePoint] : (this.#astral.get(codePoint) ?? -1);
  }

  /** The symbol of a character of some piece. */
  #define(character: string): number {
    const codePoint = character.codePointAt(0)!;
    let symbol = this.#symbolOf(codePoint);
    if (symbol >= 0) return symbol;
    symbol = this.#ids.get(character) ?? this.size + this.#loose.push(character) - 1;
    if (codePoint < 0x10000) this.#basic[codePoint] = symbol;
    else this.#astral.set(codePoint, symbol);
    return symbol;
  }

  /** The mergeable pieces, spelled; fills the tables of characters and of neighbours. */
  #spell(): SpelledPiece[] {
    const { pieces } = this.#model;
    const scores = Float32Array.from(pieces, (piece) => piece.score).sort();
    const spelled: SpelledPiece[] = [];
    for (const [text, id] of this.#ids) {
      const symbols: number[] = [];
      for (const character of text) symbols.push(this.#define(character));
      for (let at = 1; at < symbols.length; at++) this.#neighbours.set(symbols[at - 1], symbols[at], 0, 0);
      spelled.push({ id, rank: countAbove(scores, pieces[id].score), symbols });
    }
    return spelled;
  }

  #byteValue(text: string): number {
    const match = /^<0x([0-9A-F]{2})>$/.exec(text);
    if (match === null) {
      throw new TokenizerError(
        this.#file,
        `holds the byte piece ${JSON.stringify(text)}, which names no byte`,
      );
    }
    return Number.parseInt(match[1], 16);
  }
}

/** How many of the ascending `scores` are higher than `score`. */
function countAbove(scores: Float32Array, score: number): number {
  let low = 0;
  let high = scores.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] <= score) low = middle + 1;
    else high = middle;
  }
  return scores.length - low;
}
