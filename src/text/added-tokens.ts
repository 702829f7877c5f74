import { TokenizerError } from "../errors.ts";
import { asFlag, asString, type JsonObject } from "./tokenizer-files.ts";

/** A token that is cut out of the text before the vocabulary sees it. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** Left out of decoded text. */
  readonly special: boolean;
  /** Swallows the whitespace on its left, on its right. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** One entry of `added_tokens_decoder` (tokenizer_config.json) or of `added_tokens` (tokenizer.json). */
export function parseAddedToken(entry: JsonObject, id: number, file: string): AddedToken {
  const content = asString(entry.content, file, `the content of the added token ${id}`);
  const flag = (name: string) => asFlag(entry[name], file, `${name} of the added token ${content}`) ?? false;
  if (content === "") throw new TokenizerError(file, `the added token ${id} is empty; give it its text`);
  if (flag("single_word")) {
    throw new TokenizerError(
      file,
      `the added token ${content} has single_word true, which is not supported; set it to false`,
    );
  }
  return { content, id, special: flag("special"), lstrip: flag("lstrip"), rstrip: flag("rstrip") };
}

/** Added tokens, by text and by id. */
export class AddedTokens {
  readonly #byContent = new Map<string, AddedToken>();
  readonly #byId = new Map<number, AddedToken>();
  #splitter: RegExp | undefined;

  /** The first word on a token stays, but for `special`, which any source may add. Errors: two ids for one text. */
  add(token: AddedToken, file: string): void {
    const known = this.#byContent.get(token.content);
    if (known !== undefined && known.id !== token.id) {
      throw new TokenizerError(
        file,
        `gives the added token ${token.content} the id ${token.id}, another file ${known.id}; use files of one checkpoint`,
      );
    }
    const merged = known === undefined ? token : { ...known, special: known.special || token.special };
    const holder = this.#byId.get(token.id);
    if (holder !== undefined && holder.content !== token.content) {
      throw new TokenizerError(
        file,
        `gives the id ${token.id} to ${token.content} and to ${holder.content}; use files of one checkpoint`,
      );
    }
    this.#byContent.set(token.content, merged);
    this.#byId.set(token.id, merged);
    this.#splitter = undefined;
  }

  get(content: string): AddedToken | undefined {
    return this.#byContent.get(content);
  }

  at(id: number): AddedToken | undefined {
    return this.#byId.get(id);
  }

  /** One more than the highest id; 0 without tokens. */
  get idEnd(): number {
    let end = 0;
    for (const id of this.#byId.keys()) end = Math.max(end, id + 1);
    return end;
  }

  /**
   * Calls `onText` for each non-empty stretch between added tokens and `onToken` for each of them, left to right; where
   * two begin at one place the longer wins. `strips` false leaves the whitespace around every token as it is.
   */
  split(
    text: string,
    strips: boolean,
    onText: (text: string, start: number) => void,
    onToken: (id: number) => void,
  ): void {
    this.#splitter ??= literalPattern([...this.#byContent.keys()]);
    const splitter = this.#splitter;
    let at = 0;
    splitter.lastIndex = 0;
    for (let match = splitter.exec(text); match !== null; match = splitter.exec(text)) {
      const token = this.#byContent.get(match[0])!;
      let before = text.slice(at, match.index);
      if (strips && token.lstrip) before = trimRight(before);
      if (before !== "") onText(before, at);
      onToken(token.id);
      at = splitter.lastIndex;
      if (strips && token.rstrip) at = skipWhitespace(text, at);
      splitter.lastIndex = at;
    }
    if (at < text.length) onText(text.slice(at), at);
  }
}

/** Matches any of the texts, the longest that fits. Without texts it matches nothing. */
export function literalPattern(literals: readonly string[]): RegExp {
  const escaped = [...literals].sort((a, b) => b.length - a.length).map(escapePattern);
  return new RegExp(escaped.length === 0 ? "[]" : escaped.join("|"), "gu");
}

const whitespace = /\p{White_Space}/u;

function skipWhitespace(text: string, at: number): number {
  let end = at;
  while (end < text.length && whitespace.test(text[end])) end++;
  return end;
}

function trimRight(text: string): string {
  let end = text.length;
  while (end > 0 && whitespace.test(text[end - 1])) end--;
  return text.slice(0, end);
}

export function escapePattern(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, (mark) => `\\${mark}`);
}
