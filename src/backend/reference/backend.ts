import type { TensorStore } from "../../checkpoint/tensor-store.ts";
import type { Graph } from "../../graph/recorder.ts";
import type { CacheLayout, Weight } from "../../graph/tensor.ts";
import type { OnProgress } from "../../progress.ts";
import type { Backend, LoadedWeights, Precision, Program } from "../backend.ts";
import { ReferenceCache } from "./cache.ts";
import { ReferenceProgram } from "./program.ts";
import { ReferenceWeight, ReferenceWeights } from "./weights.ts";

/**
 * The plain backend: every operation as loops a reader can check against MODEL.md. It runs anywhere JavaScript does,
 * and every other backend's kernels are tested against it.
 */
export class ReferenceBackend implements Backend {
  readonly name = "reference";
  readonly tilesAtOnce = 1;
  readonly tokensAtOnce = 512;
  readonly queues = false;
  readonly #precision: Precision;

  constructor(precision: Precision) {
    this.#precision = precision;
  }

  async loadWeights(
    weights: readonly Weight[],
    store: TensorStore,
    { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress } = {},
  ): Promise<LoadedWeights> {
    const loaded = new Map<Weight, ReferenceWeight>();
    for (const weight of weights) {
      signal?.throwIfAborted();
      loaded.set(weight, await ReferenceWeight.load(weight, store));
      onProgress?.({ phase: "load", file: weight.name, loaded: loaded.size, total: weights.length });
    }
    return new ReferenceWeights(loaded);
  }

  createCache(layout: CacheLayout, pages: number): ReferenceCache {
    return new ReferenceCache(layout, pages);
  }

  prepare(graph: Graph, weights: LoadedWeights): Promise<Program> {
    if (!(weights instanceof ReferenceWeights))
      throw new TypeError("these weights belong to another backend");
    return Promise.resolve(new ReferenceProgram(graph, weights, this.#precision));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
