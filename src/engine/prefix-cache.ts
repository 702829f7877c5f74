import type { PagePool } from "./page-pool.ts";

/** A page kept for later: the keys of its tokens, and the pages that followed it. */
interface Node {
  readonly page: number;
  readonly keys: readonly number[];
  readonly parent: Node | undefined;
  readonly children: Map<string, Node>;
  lastUsed: number;
}

/** What of a prompt is there already. */
export interface PrefixMatch {
  /** Pages that the prompt's beginning fills entirely; shared, never written. */
  readonly pages: number[];
  /** A further page whose first `count` tokens continue the prompt: to be copied before it is written. */
  readonly partial: { page: number; count: number } | undefined;
  /** Tokens covered in all. */
  readonly tokens: number;
}

/**
 * Keys and values of earlier prompts and answers, found again by their content. A token's key is its id or, for a row
 * of image features, a number that stands for the picture's content and the row (see `Prompt`); so a second question
 * about the same picture finds the picture and the earlier turns. A tree of pages: a node is reached by the keys of all
 * pages before it, compared exactly. Pages nobody else holds are given up, oldest first, when memory is needed.
 */
export class PrefixCache {
  readonly #pool: PagePool;
  readonly #pageSize: number;
  /** One tree for each set of rotary frequencies: keys cached under one are of no use to another. */
  readonly #roots = new Map<string, Map<string, Node>>();
  #clock = 0;

  constructor(pool: PagePool, pageSize: number) {
    this.#pool = pool;
    this.#pageSize = pageSize;
  }

  /** The longest prefix of `keys`, at most `limit` tokens, that is there. The caller holds what it takes. */
  find(variant: string, keys: readonly number[], limit: number): PrefixMatch {
    const pages: number[] = [];
    let children = this.#roots.get(variant) ?? new Map<string, Node>();
    let tokens = 0;
    while (tokens + this.#pageSize <= limit) {
      const node = children.get(nameOf(keys.slice(tokens, tokens + this.#pageSize)));
      if (!node) break;
      node.lastUsed = ++this.#clock;
      pages.push(node.page);
      tokens += this.#pageSize;
      children = node.children;
    }
    let partial: PrefixMatch["partial"];
    for (const node of children.values()) {
      const count = Math.min(commonLength(node.keys, keys, tokens), limit - tokens);
      if (count > (partial?.count ?? 0)) {
        partial = { page: node.page, count };
        node.lastUsed = ++this.#clock;
      }
    }
    return { pages, partial, tokens: tokens + (partial?.count ?? 0) };
  }

  /**
   * Keeps the pages of a sequence whose first `keys.length` tokens are computed. The last page may be part full.
   * Pages with content that is there already are not kept twice.
   */
  keep(variant: string, keys: readonly number[], pages: readonly number[]): void {
    const root = this.#roots.get(variant) ?? new Map<string, Node>();
    this.#roots.set(variant, root);
    let children = root;
    let parent: Node | undefined;
    for (let start = 0; start < keys.length; start += this.#pageSize) {
      const pageKeys = keys.slice(start, start + this.#pageSize);
      const name = nameOf(pageKeys);
      let node: Node | undefined = children.get(name);
      if (!node) {
        const page = pages[start / this.#pageSize];
        this.#pool.hold(page);
        node = { page, keys: pageKeys, parent, children: new Map(), lastUsed: 0 };
        children.set(name, node);
      }
      node.lastUsed = ++this.#clock;
      parent = node;
      children = node.children;
    }
  }

  /** Gives up the page unused for longest that nobody else holds. False if there is none. */
  evict(): boolean {
    let oldest: { node: Node; siblings: Map<string, Node> } | undefined;
    const visit = (siblings: Map<string, Node>): void => {
      for (const node of siblings.values()) {
        if (node.children.size > 0) visit(node.children);
        else if (this.#pool.holders(node.page) === 1 && node.lastUsed < (oldest?.node.lastUsed ?? Infinity)) {
          oldest = { node, siblings };
        }
      }
    };
    for (const root of this.#roots.values()) visit(root);
    if (!oldest) return false;
    oldest.siblings.delete(nameOf(oldest.node.keys));
    this.#pool.letGo(oldest.node.page);
    return true;
  }

  /** How many pages `evict` could free, one after another. */
  get evictablePages(): number {
    const count = (siblings: Map<string, Node>): { free: number; all: boolean } => {
      let free = 0;
      let all = true;
      for (const node of siblings.values()) {
        const below = count(node.children);
        const own = below.all && this.#pool.holders(node.page) === 1;
        free += below.free + (own ? 1 : 0);
        all &&= own;
      }
      return { free, all };
    };
    return [...this.#roots.values()].reduce((sum, root) => sum + count(root).free, 0);
  }

  clear(): void {
    while (this.evict());
  }
}

function nameOf(keys: readonly number[]): string {
  return keys.join(" ");
}

/** How many keys of a page stand at the same place in `keys` from `start` on. */
function commonLength(page: readonly number[], keys: readonly number[], start: number): number {
  let count = 0;
  while (count < page.length && start + count < keys.length && page[count] === keys[start + count]) count++;
  return count;
}
