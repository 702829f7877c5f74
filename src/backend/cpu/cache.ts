import type { CacheLayout } from "../../graph/tensor.ts";
import type { KeyValueCache, Precision } from "../backend.ts";
import type { Block, Machine } from "./machine.ts";

/**
 * Keys and values in one block, `[page][layer][key, value]` of pageSize by keyValueHeads * headSize, bf16, or f32 where
 * precision is "f32". The operating system gives memory to a page when it is first written.
 */
export class CpuCache implements KeyValueCache {
  readonly layout: CacheLayout;
  readonly pages: number;
  readonly #machine: Machine;
  readonly #block: Block;
  readonly #bf16: boolean;

  constructor(machine: Machine, layout: CacheLayout, pages: number, precision: Precision) {
    this.layout = layout;
    this.pages = pages;
    this.#machine = machine;
    this.#bf16 = precision === "fast";
    this.#block = machine.allocate(this.#pageBytes * pages);
  }

  /** `key_value_cache` of program.h. */
  get words(): readonly bigint[] {
    const { layers, pageSize, keyValueHeads, headSize } = this.layout;
    const sizes = [layers, pageSize, keyValueHeads, headSize, this.#bf16 ? 1 : 0];
    return [this.#block.address, ...sizes.map(BigInt)];
  }

  copyPage(from: number, to: number): void {
    const bytes = this.#pageBytes;
    const all = new Uint8Array(this.#block.view(), this.#block.viewOffset, this.#block.bytes);
    all.copyWithin(to * bytes, from * bytes, (from + 1) * bytes);
  }

  dispose(): void {
    this.#machine.free(this.#block);
  }

  get #pageBytes(): number {
    const { layers, pageSize, keyValueHeads, headSize } = this.layout;
    return layers * 2 * pageSize * keyValueHeads * headSize * (this.#bf16 ? 2 : 4);
  }
}
