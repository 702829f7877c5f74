import type { KeyValueCache } from "../backend/backend.ts";
import type { Rope } from "../model/rope.ts";
import { PagePool } from "./page-pool.ts";
import { PrefixCache } from "./prefix-cache.ts";
import type { Sequence } from "./sequence.ts";

/**
 * The pages that sequences write their keys and values to. Pages are shared where content is the same (forks, earlier
 * prompts) and copied before they are written; what sequences leave behind serves later prompts until memory is needed.
 */
export class SequenceMemory {
  readonly pool: PagePool;
  readonly #cache: KeyValueCache;
  readonly #pageSize: number;
  readonly #prefixes: PrefixCache;
  readonly #rope: Rope;

  constructor(cache: KeyValueCache, rope: Rope) {
    this.#cache = cache;
    this.#pageSize = cache.layout.pageSize;
    this.pool = new PagePool(cache.pages);
    this.#prefixes = new PrefixCache(this.pool, this.#pageSize);
    this.#rope = rope;
  }

  /** Pages that nobody needs at present. */
  get availablePages(): number {
    return this.pool.freePages + this.#prefixes.evictablePages;
  }

  /** The most tokens of each of `lines` sequences that can be held at the same time, with a page left to copy into. */
  mostTokens(lines: number): number {
    return Math.floor((this.pool.pages - 1) / lines) * this.#pageSize;
  }

  /**
   * Gives a new sequence what earlier ones left of its prompt; its last token is always left to compute, for its logits.
   * @param whatever start even if there is no memory for the rest of the prompt at present
   * @returns the tokens found, or undefined when there is no memory
   */
  start(sequence: Sequence, whatever: boolean): number | undefined {
    const { keys } = sequence.prompt;
    const { pages, partial, tokens } = this.#prefixes.find(this.#variant(sequence), keys, keys.length - 1);
    const needed = Math.ceil((keys.length + 1) / this.#pageSize) - pages.length;
    if (!whatever && this.availablePages < needed) return undefined;
    // A page that is only partly of use is shared as well: `makeRoom` copies it before the rest of it is written.
    sequence.pages.push(...pages, ...(partial ? [partial.page] : []));
    for (const page of sequence.pages) this.pool.hold(page);
    sequence.computed = tokens;
    return tokens;
  }

  /**
   * Pages of its own for the next `count` tokens of a sequence.
   * @param reclaim frees pages elsewhere; false when it can not
   * @returns false when there is not enough memory; what was taken stays with the sequence
   */
  makeRoom(sequence: Sequence, count: number, reclaim: () => boolean): boolean {
    const first = Math.floor(sequence.computed / this.#pageSize);
    const last = Math.floor((sequence.computed + count - 1) / this.#pageSize);
    for (let index = first; index <= last; index++) {
      const before = sequence.pages[index];
      if (before !== undefined && this.pool.holders(before) === 1) continue;
      const page = this.#takePage(reclaim);
      if (page === undefined) return false;
      if (before !== undefined) {
        this.#cache.copyPage(before, page);
        this.pool.letGo(before);
      }
      sequence.pages[index] = page;
    }
    return true;
  }

  /** What is computed of a prompt serves others at once; its last page only later, since it is still written to. */
  keepPrompt(sequence: Sequence): void {
    const computed = Math.min(sequence.computed, sequence.prompt.ids.length);
    const full = computed - (computed % this.#pageSize);
    this.#prefixes.keep(this.#variant(sequence), sequence.keys.slice(0, full), sequence.pages);
  }

  /** A sequence that is complete leaves everything it computed to later prompts. */
  retire(sequence: Sequence): void {
    const keys = sequence.keys.slice(0, sequence.computed);
    this.#prefixes.keep(this.#variant(sequence), keys, sequence.pages);
    sequence.release(this.pool);
  }

  /** Forgets earlier prompts. */
  clear(): void {
    this.#prefixes.clear();
  }

  #takePage(reclaim: () => boolean): number | undefined {
    for (;;) {
      const page = this.pool.take();
      if (page !== undefined) return page;
      if (!this.#prefixes.evict() && !reclaim()) return undefined;
    }
  }

  #variant(sequence: Sequence): string {
    return this.#rope.variant(sequence.prompt.ids.length);
  }
}
