import { PairTable } from "./merge.ts";

/** A piece that text can merge into. */
export interface SpelledPiece {
  readonly id: number;
  /** 0 merges first. */
  readonly rank: number;
  /** Its characters, as symbols of 0 or more. */
  readonly symbols: readonly number[];
}

/**
 * All pairs that merge into a piece: each way to cut a piece in two, where both parts are pieces or single characters.
 * Parts are found by walking two tries, of the pieces forwards and backwards, so that no text is cut or hashed.
 */
export function pairsOf(pieces: readonly SpelledPiece[]): PairTable {
  const forwards = new Trie();
  const backwards = new Trie();
  for (const { id, symbols } of pieces) {
    let node = root;
    for (let at = 0; at < symbols.length; at++) node = forwards.extend(node, symbols[at]);
    forwards.end(node, id);
    node = root;
    for (let at = symbols.length - 1; at >= 0; at--) node = backwards.extend(node, symbols[at]);
    backwards.end(node, id);
  }

  const pairs = new PairTable();
  const lefts: number[] = [];
  for (const { id, rank, symbols } of pieces) {
    const cuts = symbols.length - 1;
    let node = root;
    for (let cut = 0; cut < cuts; cut++) {
      node = forwards.extend(node, symbols[cut]);
      lefts[cut] = cut === 0 ? symbols[0] : forwards.endOf(node);
    }
    node = root;
    for (let cut = cuts - 1; cut >= 0; cut--) {
      node = backwards.extend(node, symbols[cut + 1]);
      const right = cut === cuts - 1 ? symbols[cuts] : backwards.endOf(node);
      if (lefts[cut] >= 0 && right >= 0) pairs.set(lefts[cut], right, id, rank);
    }
  }
  return pairs;
}

const root = 0;

class Trie {
  readonly #children = new PairTable();
  readonly #ends: number[] = [-1];

  /** The node after `symbol`, made if it is not there. */
  extend(node: number, symbol: number): number {
    const slot = this.#children.find(node, symbol);
    if (slot >= 0) return this.#children.mergedAt(slot);
    const child = this.#ends.push(-1) - 1;
    this.#children.set(node, symbol, child, 0);
    return child;
  }

  end(node: number, id: number): void {
    this.#ends[node] = id;
  }

  /** The piece that ends at the node, or -1. */
  endOf(node: number): number {
    return this.#ends[node];
  }
}
