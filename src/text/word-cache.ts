const longestWord = 64;
const mostWords = 1 << 15;

/** What words became, so that a common word is merged once. Bounded: when full it starts again from nothing. */
export class WordCache {
  readonly #known = new Map<string, readonly number[]>();

  get(word: string): readonly number[] | undefined {
    return word.length > longestWord ? undefined : this.#known.get(word);
  }

  set(word: string, ids: readonly number[]): void {
    if (word.length > longestWord) return;
    if (this.#known.size >= mostWords) this.#known.clear();
    this.#known.set(detached(word), ids);
  }
}

/** A slice of a string can keep the whole string in memory; a copy does not. */
function detached(word: string): string {
  const units = new Array<number>(word.length);
  for (let at = 0; at < word.length; at++) units[at] = word.charCodeAt(at);
  return String.fromCharCode(...units);
}
