import type { Rows } from "../backend/backend.ts";
import { ShapeError } from "../errors.ts";
import { type FeatureCache, holdRows, letGoOfRows } from "./features.ts";
import type { FeatureBlock, Prompt } from "./prompt.ts";

/** The image features of a prompt, held for as long as it is being answered. */
export class PromptFeatures {
  readonly #prompt: Prompt;
  readonly #cache: FeatureCache;
  readonly #held = new Map<FeatureBlock, Rows>();

  constructor(prompt: Prompt, cache: FeatureCache) {
    this.#prompt = prompt;
    this.#cache = cache;
  }

  /** The blocks that tokens from `start` on need and that are still to be computed. */
  missing(start: number): FeatureBlock[] {
    const { blocks, ids } = this.#prompt;
    if (blocks.length === 0) return [];
    return this.#prompt.blocksBetween(start, ids.length).filter((block) => !this.#find(block));
  }

  /** Holds the features of a block. */
  add(block: FeatureBlock, features: Rows): void {
    if (this.#held.has(block)) return;
    holdRows(features);
    this.#held.set(block, features);
  }

  /** The features of tokens `start … end - 1`, in as few pieces as can be. All must have been computed. */
  between(start: number, end: number): Rows[] {
    const { blocks, featureRows } = this.#prompt;
    const pieces: Rows[] = [];
    let block = 0;
    let first = 0; // the feature row that `block` begins with
    for (let position = start; position < Math.min(end, featureRows.length); position++) {
      const row = featureRows[position];
      if (row < 0) continue;
      while (row >= first + blocks[block].rows) first += blocks[block++].rows;
      const features = this.#find(blocks[block]);
      if (!features) throw new ShapeError(`feature row ${row} was not computed`);
      const from = features.first + row - first;
      const last = pieces.at(-1);
      if (last?.of === features.of && last.first + last.count === from) {
        pieces[pieces.length - 1] = { ...last, count: last.count + 1 };
      } else pieces.push({ of: features.of, first: from, count: 1 });
    }
    return pieces;
  }

  release(): void {
    for (const features of this.#held.values()) letGoOfRows(features);
    this.#held.clear();
  }

  #find(block: FeatureBlock): Rows | undefined {
    const { rows, values, identity } = block;
    if (values) return { of: values, first: 0, count: rows };
    const held = this.#held.get(block);
    if (held) return held;
    const cached = this.#cache.get(identity);
    if (cached) this.add(block, cached);
    return cached;
  }
}
