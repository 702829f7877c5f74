import type { DeviceTensor, PrepareOptions } from "../backend/backend.ts";
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

  /** Computes the features of blocks, and keeps them. */
  async encode(
    blocks: readonly FeatureBlock[],
    features: PromptFeatures,
    options: PrepareOptions,
  ): Promise<void> {
    for (let first = 0; first < blocks.length; first += this.atOnce) {
      const some = blocks.slice(first, first + this.atOnce);
      const tensor = await this.#run(
        some.map(({ pixels }) => pixels!),
        options,
      );
      let row = 0;
      for (const block of some) {
        const rows = { of: tensor, first: row, count: block.rows };
        row += block.rows;
        features.add(block, rows);
        this.#cache.keep(block.identity, rows);
      }
      tensor.letGo();
    }
  }

  /** Image features of tiles, `[T * tokensPerTile, hiddenSize]`. */
  async encodeTiles(tiles: readonly Uint8Array[], signal: AbortSignal): Promise<Float32Array> {
    const { tiling, language } = this.#network.description;
    const size = tiling.tokensPerTile * language.hiddenSize;
    const all = new Float32Array(tiles.length * size);
    for (let first = 0; first < tiles.length; first += this.atOnce) {
      const tensor = await this.#run(tiles.slice(first, first + this.atOnce), { signal });
      try {
        all.set(await tensor.read(), first * size);
      } finally {
        tensor.letGo();
      }
    }
    return all;
  }

  #run(tiles: readonly Uint8Array[], options: PrepareOptions): Promise<DeviceTensor> {
    options.signal?.throwIfAborted();
    return this.#exclusive(() => this.#network.encode(joined(tiles), options));
  }
}

/** Tiles one behind the other. */
function joined(tiles: readonly Uint8Array[]): Uint8Array {
  if (tiles.length === 1) return tiles[0];
  const all = new Uint8Array(tiles.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const tile of tiles) {
    all.set(tile, at);
    at += tile.length;
  }
  return all;
}
