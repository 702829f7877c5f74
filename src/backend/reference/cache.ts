import type { CacheLayout } from "../../graph/tensor.ts";
import type { KeyValueCache } from "../backend.ts";

/**
 * Keys and values in f32. A page holds, for each layer, `[pageSize, keyValueHeads * headSize]` keys and then as many
 * values; it takes memory when it is first written.
 */
export class ReferenceCache implements KeyValueCache {
  readonly layout: CacheLayout;
  readonly pages: number;
  readonly #pages: (Float32Array | undefined)[];

  constructor(layout: CacheLayout, pages: number) {
    this.layout = layout;
    this.pages = pages;
    this.#pages = new Array(pages).fill(undefined);
  }

  /** The key of a slot in a layer: `[keyValueHeads * headSize]`, writable. */
  key(layer: number, slot: number): Float32Array {
    return this.#row(layer, slot, 0);
  }

  /** The value of a slot in a layer: `[keyValueHeads * headSize]`, writable. */
  value(layer: number, slot: number): Float32Array {
    return this.#row(layer, slot, 1);
  }

  copyPage(from: number, to: number): void {
    this.#pages[to] = this.#pages[from]?.slice();
  }

  dispose(): void {
    this.#pages.fill(undefined);
  }

  #row(layer: number, slot: number, part: 0 | 1): Float32Array {
    const { layers, pageSize, keyValueHeads, headSize } = this.layout;
    const width = keyValueHeads * headSize;
    const index = Math.floor(slot / pageSize);
    if (index >= this.pages) throw new RangeError(`slot ${slot} is beyond ${this.pages} pages`);
    this.#pages[index] ??= new Float32Array(layers * 2 * pageSize * width);
    const from = ((layer * 2 + part) * pageSize + (slot % pageSize)) * width;
    return this.#pages[index].subarray(from, from + width);
  }
}
