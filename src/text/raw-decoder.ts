import type { Tokenizer } from "./tokenizer.ts";
import { createUtf8Decoder, type Utf8Decoder } from "./utf8.ts";

/** Ids to text one by one, before the cleaning of spaces. */
export class RawDecoder {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecial: boolean;
  readonly #utf8: Utf8Decoder;
  #atStart = true;

  constructor(tokenizer: Tokenizer, skipSpecial: boolean) {
    this.#tokenizer = tokenizer;
    this.#skipSpecial = skipSpecial;
    this.#utf8 = createUtf8Decoder(tokenizer.decoding.invalidBytes);
  }

  push(id: number): string {
    if (this.#tokenizer.isSpecial(id)) {
      if (this.#skipSpecial) return "";
      return this.#utf8.push(new TextEncoder().encode(this.#tokenizer.tokenOf(id)));
    }
    const bytes = this.#tokenizer.bytesOf(id);
    const drops =
      this.#atStart &&
      this.#tokenizer.decoding.dropsFirstSpace &&
      this.#tokenizer.tokenOf(id)!.startsWith("\u2581");
    this.#atStart = false;
    return this.#utf8.push(drops ? bytes.subarray(1) : bytes);
  }

  finish(): string {
    return this.#utf8.finish();
  }
}
