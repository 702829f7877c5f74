import type { TensorStore } from "../../checkpoint/tensor-store.ts";
import { MemoryError } from "../../errors.ts";
import type { Graph } from "../../graph/recorder.ts";
import type { CacheLayout, Weight } from "../../graph/tensor.ts";
import type { OnProgress } from "../../progress.ts";
import type { Backend, LoadedWeights, Precision, Program } from "../backend.ts";
import { CpuCache } from "./cache.ts";
import type { Machine } from "./machine.ts";
import { CpuProgram } from "./program.ts";
import { CpuWeights, type WeightFormat, weightBytes } from "./weights.ts";

/** The processor through C kernels: a whole program is one call, off the event loop. */
export class CpuBackend implements Backend {
  readonly name = "cpu";
  readonly tilesAtOnce = 1;
  readonly tokensAtOnce = 512;
  readonly queues = false;
  readonly machine: Machine;
  readonly #precision: Precision;
  readonly #weights: WeightFormat;

  constructor(machine: Machine, precision: Precision, weights: WeightFormat = "checkpoint") {
    this.machine = machine;
    this.#precision = precision;
    this.#weights = weights;
  }

  async loadWeights(
    weights: readonly Weight[],
    store: TensorStore,
    { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress } = {},
  ): Promise<LoadedWeights> {
    this.#checkMemory(weights, store);
    const loaded = new CpuWeights(this.machine);
    try {
      for (const [i, weight] of weights.entries()) {
        signal?.throwIfAborted();
        await loaded.load(weight, store, this.#weights, signal);
        onProgress?.({ phase: "load", file: weight.name, loaded: i + 1, total: weights.length });
      }
    } catch (error) {
      loaded.dispose();
      throw error;
    }
    return loaded;
  }

  /** Says what would fit before anything is read. */
  #checkMemory(weights: readonly Weight[], store: TensorStore): void {
    const free = this.machine.availableBytes();
    const needed = weightBytes(weights, store, this.#weights);
    if (needed <= free) return;
    const smaller = (["int8", "int4"] as const).filter(
      (format) => weightBytes(weights, store, format) <= free,
    );
    const fitting = smaller.map((format) => `weights: "${format}"`).join(" or ");
    throw new MemoryError(
      needed,
      free,
      fitting ? `load with ${fitting}` : "close other programs, or take a smaller model",
    );
  }

  createCache(layout: CacheLayout, pages: number): CpuCache {
    return new CpuCache(this.machine, layout, pages, this.#precision);
  }

  prepare(graph: Graph, weights: LoadedWeights): Promise<Program> {
    if (!(weights instanceof CpuWeights)) throw new TypeError("these weights belong to another backend");
    return Promise.resolve(new CpuProgram(graph, weights, this.machine, this.#precision));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.dispose();
  }
}
