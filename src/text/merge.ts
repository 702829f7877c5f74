/**
 * Byte-pair merging: the one loop that every tokenizer of the family runs, over symbols that are already numbers.
 * `sentencepiece.ts` fills the table from piece scores, `byte-level.ts` from the merges list.
 */

const free = -1;

/** Which two neighbouring symbols become which symbol, and how early: rank 0 merges first. */
export class PairTable {
  #left = new Int32Array(16).fill(free);
  #right = new Int32Array(16);
  #merged = new Int32Array(16);
  #rank = new Int32Array(16);
  #count = 0;

  /** Symbols are 0 or more. The first rank given to a pair stays. */
  set(left: number, right: number, merged: number, rank: number): void {
    let slot = this.#slotOf(left, right);
    if (this.#left[slot] !== free) return;
    if (++this.#count * 2 > this.#left.length) {
      this.#grow();
      slot = this.#slotOf(left, right);
    }
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.#merged[slot] = merged;
    this.#rank[slot] = rank;
  }

  /** Where the pair is, or -1. */
  find(left: number, right: number): number {
    if (left < 0) return -1;
    const slot = this.#slotOf(left, right);
    return this.#left[slot] === free ? -1 : slot;
  }

  mergedAt(slot: number): number {
    return this.#merged[slot];
  }

  rankAt(slot: number): number {
    return this.#rank[slot];
  }

  /** The slot of the pair, or the free one where it would go. */
  #slotOf(left: number, right: number): number {
    const mask = this.#left.length - 1;
    const hash = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 15)) & mask;
    while (this.#left[slot] !== free && (this.#left[slot] !== left || this.#right[slot] !== right)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const [left, right, merged, rank] = [this.#left, this.#right, this.#merged, this.#rank];
    const slots = left.length * 2;
    this.#left = new Int32Array(slots).fill(free);
    this.#right = new Int32Array(slots);
    this.#merged = new Int32Array(slots);
    this.#rank = new Int32Array(slots);
    for (let from = 0; from < left.length; from++) {
      if (left[from] === free) continue;
      const slot = this.#slotOf(left[from], right[from]);
      this.#left[slot] = left[from];
      this.#right[slot] = right[from];
      this.#merged[slot] = merged[from];
      this.#rank[slot] = rank[from];
    }
  }
}

/** A heap entry is rank * positionRange + position: exact for 2 ** 24 ranks, and no string is longer than this. */
const positionRange = 2 ** 29;
const noPair = -1;

/**
 * Merges `symbols[0, count)` in place: always the pair of the lowest rank, the leftmost of equals, until no pair is
 * left. Returns the new count. O(n log n): the pairs wait in a heap, and one that has changed meanwhile is dropped
 * when it comes up. `onPair` is told of every pair of the table that comes to stand side by side.
 */
export function mergePairs(
  symbols: Int32Array,
  count: number,
  table: PairTable,
  onPair?: (left: number, right: number, merged: number) => void,
): number {
  if (count < 2) return count;
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  // The rank of the pair that starts at each symbol now: what a heap entry must still agree with.
  const pairRank = new Int32Array(count).fill(noPair);
  const pairMerged = new Int32Array(count);
  // Each merge takes one entry out and puts at most two in.
  const heap = new Float64Array(2 * count);
  let size = 0;

  const rate = (at: number): boolean => {
    const after = next[at];
    const slot = after === count ? -1 : table.find(symbols[at], symbols[after]);
    pairRank[at] = slot < 0 ? noPair : table.rankAt(slot);
    if (slot < 0) return false;
    pairMerged[at] = table.mergedAt(slot);
    onPair?.(symbols[at], symbols[after], pairMerged[at]);
    return true;
  };
  for (let at = 0; at < count; at++) {
    next[at] = at + 1;
    previous[at] = at - 1;
    if (rate(at)) size = push(heap, size, pairRank[at] * positionRange + at);
  }

  while (size > 0) {
    const key = heap[0];
    size = pop(heap, size);
    const rank = Math.floor(key / positionRange);
    const at = key - rank * positionRange;
    if (pairRank[at] !== rank) continue;
    const gone = next[at];
    symbols[at] = pairMerged[at];
    pairRank[gone] = noPair;
    next[at] = next[gone];
    if (next[at] < count) previous[next[at]] = at;
    const before = previous[at];
    if (before >= 0 && rate(before)) size = push(heap, size, pairRank[before] * positionRange + before);
    if (rate(at)) size = push(heap, size, pairRank[at] * positionRange + at);
  }

  let kept = 0;
  for (let at = 0; at < count; at = next[at]) symbols[kept++] = symbols[at];
  return kept;
}

function push(heap: Float64Array, size: number, key: number): number {
  let at = size;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent] <= key) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = key;
  return size + 1;
}

function pop(heap: Float64Array, size: number): number {
  const last = size - 1;
  const key = heap[last];
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= last) break;
    if (child + 1 < last && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= key) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = key;
  return last;
}
