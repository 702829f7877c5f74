import { StreamDecoder } from "../text/stream-decoder.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Watches one answer, token by token, for the texts that end it. */
export class StopTexts {
  readonly #decoder: StreamDecoder;
  readonly #texts: readonly string[];
  readonly #longest: number;
  #tail = "";

  constructor(tokenizer: Tokenizer, texts: readonly string[]) {
    this.#decoder = new StreamDecoder(tokenizer);
    this.#texts = texts;
    this.#longest = Math.max(0, ...texts.map((text) => text.length));
  }

  /** True once the answer up to and including this token holds one of the texts. */
  push(token: number): boolean {
    if (this.#texts.length === 0) return false;
    this.#tail += this.#decoder.push(token);
    if (this.#texts.some((text) => this.#tail.includes(text))) return true;
    this.#tail = this.#tail.slice(-this.#longest);
    return false;
  }
}
