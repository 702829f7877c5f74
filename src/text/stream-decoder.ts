import { cleanUpSpaces, safeCleanUpCut } from "./clean-up.ts";
import { RawDecoder } from "./raw-decoder.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Text as the ids come: what `push` returns, and `finish` at the end, is together `tokenizer.decode(ids)`. Held back
 * are the first bytes of a character, and spaces that the tokenizer may still clean away.
 */
export class StreamDecoder {
  readonly #raw: RawDecoder;
  readonly #cleans: boolean;
  #held = "";

  constructor(tokenizer: Tokenizer) {
    this.#raw = new RawDecoder(tokenizer, true);
    this.#cleans = tokenizer.decoding.cleansUpSpaces;
  }

  /** The text that is now certain, often empty. Errors: `TokenizerError` for an id without a token. */
  push(id: number): string {
    const text = this.#raw.push(id);
    if (!this.#cleans) return text;
    this.#held += text;
    const cut = safeCleanUpCut(this.#held);
    const certain = cleanUpSpaces(this.#held.slice(0, cut));
    this.#held = this.#held.slice(cut);
    return certain;
  }

  /** What was held back. Call it once, after the last id. */
  finish(): string {
    const text = this.#held + this.#raw.finish();
    this.#held = "";
    return this.#cleans ? cleanUpSpaces(text) : text;
  }
}
