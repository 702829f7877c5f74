import type { TensorStore } from "../checkpoint/tensor-store.ts";
import type { Graph } from "../graph/recorder.ts";
import type { CacheLayout, Weight } from "../graph/tensor.ts";
import type { OnProgress } from "../progress.ts";

/**
 * How activations are kept. "f32": everywhere. "fast": the left operand of each product with a weight is rounded to
 * the matrix unit's 16-bit type; accumulation, residual stream, norms, softmax and logits stay f32.
 */
export type Precision = "fast" | "f32";

/** A place where graphs run. */
export interface Backend extends AsyncDisposable {
  readonly name: string;
  /** Tiles that one run of the vision tower may take: enough to keep the device busy, few enough to cancel in between. */
  readonly tilesAtOnce: number;
  /** New tokens that one step of the language model may take, for the same reasons. */
  readonly tokensAtOnce: number;
  /** Brings weights into the device's memory, each once. */
  loadWeights(
    weights: readonly Weight[],
    store: TensorStore,
    options: { signal?: AbortSignal; onProgress?: OnProgress },
  ): Promise<LoadedWeights>;
  /** The most pages that `createCache` can make; without this, as many as there is memory for. */
  largestCache?(layout: CacheLayout): number;
  /** Room for the keys and values of `pages` pages. */
  createCache(layout: CacheLayout, pages: number): KeyValueCache;
  /** Turns a graph into something that runs. Its weights must have been loaded. */
  prepare(graph: Graph, weights: LoadedWeights): Promise<Program>;
}

/** Weights in a device's memory. Only the backend that made them looks inside. */
export interface LoadedWeights {
  readonly bytes: number;
  dispose(): void;
}

/** Keys and values in a device's memory. */
export interface KeyValueCache {
  readonly layout: CacheLayout;
  readonly pages: number;
  /** Copies all layers of one page onto another: what writing to a shared page needs first. */
  copyPage(from: number, to: number): void;
  dispose(): void;
}

export type HostArray = Float32Array | Uint32Array | Uint8Array;

/** A graph made ready for a device; runs as often as wanted, one run at a time. */
export interface Program {
  /** Activation memory of a run. */
  readonly arenaBytes: number;
  /**
   * One run. `inputs` has one array for each input of the graph, of exactly its size. The answer holds the outputs by
   * name, as arrays of the caller's own. Between operations it lets the event loop turn and looks at `signal`.
   */
  run(
    inputs: Readonly<Record<string, HostArray>>,
    options?: { cache?: KeyValueCache; signal?: AbortSignal },
  ): Promise<Record<string, Float32Array | Uint32Array>>;
  dispose(): void;
}
