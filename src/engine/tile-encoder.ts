import type { PrepareOptions, Run } from "../backend/backend.ts";
import type { Network } from "../model/network.ts";
import type { FeatureCache } from "./features.ts";
import type { FeatureBlock } from "./prompt.ts";
import type { PromptFeatures } from "./prompt-features.ts";

/** Makes image features of tiles, as many at a time as the device takes, so that a signal is seen in between. */
export class TileEncoder {
  readonly #network: Network;
  readonly #cache: FeatureCache;
  readonly #exclusive: <T>(work: () => Promise<T>) => Promise<T>;

  /** @param exclusive keeps the device for one thing at a time, where it must be */
  constructor(network: Network, cache: FeatureCache, exclusive: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#network = network;
    this.#cache = cache;
    this.#exclusive = exclusive;
  }

  /** Blocks that one call of `encode` should bring at most. */
  get atOnce(): number {
    return this.#network.tilesAtOnce;
  }

  /**
   * Begins to compute the features of blocks, at most `atOnce`: runs that are begun after it may take them. They are kept
   * for other prompts once they are done.
   */
  async begin(
    blocks: readonly FeatureBlock[],
    features: PromptFeatures,
    options: PrepareOptions,
  ): Promise<{ readonly done: Promise<void> }> {
    const pixels = blocks.map((block) => block.pixels!);
    const { outputs, staying } = await this.#start(pixels, options);
    let first = 0;
    const places = blocks.map((block) => {
      const rows = { of: staying.features, first, count: block.rows };
      first += block.rows;
      features.add(block, rows);
      return { identity: block.identity, rows };
    });
    const done = outputs
      .then(() => {
        for (const { identity, rows } of places) this.#cache.keep(identity, rows);
      })
      .finally(() => staying.features.letGo());
    return { done };
  }

  /** Computes the features of blocks, and keeps them. */
  async encode(
    blocks: readonly FeatureBlock[],
    features: PromptFeatures,
    options: PrepareOptions,
  ): Promise<void> {
    for (let first = 0; first < blocks.length; first += this.atOnce) {
      const { done } = await this.begin(blocks.slice(first, first + this.atOnce), features, options);
      await done;
    }
  }

  /** Image features of tiles, `[T * tokensPerTile, hiddenSize]`. */
  async encodeTiles(tiles: readonly Uint8Array[], signal: AbortSignal): Promise<Float32Array> {
    const { tiling, language } = this.#network.description;
    const size = tiling.tokensPerTile * language.hiddenSize;
    const all = new Float32Array(tiles.length * size);
    for (let first = 0; first < tiles.length; first += this.atOnce) {
      const { outputs, staying } = await this.#start(tiles.slice(first, first + this.atOnce), { signal });
      try {
        await outputs;
        all.set(await staying.features.read(), first * size);
      } finally {
        staying.features.letGo();
      }
    }
    return all;
  }

  #start(tiles: readonly Uint8Array[], options: PrepareOptions): Promise<Run> {
    options.signal?.throwIfAborted();
    return this.#exclusive(async () => {
      const run = await this.#network.encode(tiles, options);
      // A device that does one thing at a time is busy until the end; how it ends is for whoever waits for it.
      if (!this.#network.queues) await run.outputs.catch(() => undefined);
      return run;
    });
  }
}
