import { StreamDecoder } from "../text/stream-decoder.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** What Python's `str.strip` takes away, which is not quite what JavaScript's `trim` does. */
const space = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const leadingSpace = new RegExp(`^${space}+`);
const trailingSpace = new RegExp(`${space}+$`);

/**
 * The text of an answer, piece by piece: decoded, cut before the first text that ends it, and stripped at both ends.
 * All pieces together are what the published `chat` makes of the whole: `decode(ids).split(end)[0].strip()`.
 */
export class AnswerText {
  readonly #decoder: StreamDecoder;
  readonly #ends: readonly string[];
  /** Decoded, but perhaps the beginning of an end, or white space that is stripped if nothing follows. */
  #held = "";
  #begun = false;
  #ended = false;

  /** @param ends texts at which the answer is cut */
  constructor(tokenizer: Tokenizer, ends: readonly string[]) {
    this.#decoder = new StreamDecoder(tokenizer);
    this.#ends = ends;
  }

  /** The text that is certain now, often empty. */
  push(token: number): string {
    return this.#take(this.#decoder.push(token));
  }

  /** What was held back. */
  finish(): string {
    const text = this.#take(this.#decoder.finish()) + this.#held;
    this.#held = "";
    const stripped = text.replace(trailingSpace, "");
    return this.#begun ? stripped : stripped.replace(leadingSpace, "");
  }

  #take(decoded: string): string {
    if (this.#ended) return "";
    this.#held += decoded;
    const cut = Math.min(...this.#ends.map((end) => this.#held.indexOf(end)).filter((at) => at >= 0));
    this.#ended = Number.isFinite(cut);
    const certain = this.#ended
      ? this.#held.slice(0, cut).replace(trailingSpace, "")
      : this.#held.slice(0, this.#held.length - this.#uncertain());
    this.#held = this.#ended ? "" : this.#held.slice(certain.length);
    // Not sooner: an end may begin with white space.
    const text = this.#begun ? certain : certain.replace(leadingSpace, "");
    this.#begun ||= text !== "";
    return text;
  }

  /** How much of the end of what is held may still turn out to be the beginning of an end, or to be stripped. */
  #uncertain(): number {
    let longest = 0;
    for (const end of this.#ends) {
      for (let length = Math.min(end.length - 1, this.#held.length); length > longest; length--) {
        if (this.#held.endsWith(end.slice(0, length))) longest = length;
      }
    }
    const before = this.#held.slice(0, this.#held.length - longest);
    return longest + (trailingSpace.exec(before)?.[0].length ?? 0);
  }
}
