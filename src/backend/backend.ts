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
  /** Whether runs may begin before earlier ones are done: the device does them in the order they came. */
  readonly queues: boolean;
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
  prepare(graph: Graph, weights: LoadedWeights, options?: PrepareOptions): Promise<Program>;
}

export interface PrepareOptions {
  readonly signal?: AbortSignal;
  /** Hears of `compile`, where the device has kernels to choose from. */
  readonly onProgress?: OnProgress;
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

/** What a run gives back, by name. */
export type Outputs = Record<string, Float32Array | Uint32Array>;

/** An output that stayed on the device, `[rows, columns]`. Whoever needs it holds it; what nobody holds is freed. */
export interface DeviceTensor {
  readonly rows: number;
  readonly columns: number;
  /** Bytes of the device's memory. */
  readonly bytes: number;
  /** Its values, as an array of the caller's own. Rejects when the run that makes them fails. */
  read(): Promise<Float32Array | Uint32Array>;
  hold(): void;
  letGo(): void;
}

/** Rows `first … first + count - 1` of something. */
export interface Rows {
  readonly of: HostArray | DeviceTensor;
  readonly first: number;
  readonly count: number;
}

/** An input: an array of exactly its size, or rows from several places, one behind the other. */
export type Input = HostArray | readonly Rows[];

export interface RunOptions {
  readonly cache?: KeyValueCache;
  readonly signal?: AbortSignal;
}

/** A run on its way. */
export interface Run {
  /** Outputs but those that stay, as arrays of the caller's own. Rejects when the run fails or is cancelled. */
  readonly outputs: Promise<Outputs>;
  /**
   * Outputs that stay on the device, each held for the caller. They may be inputs of other runs at once, which fail where
   * this one does.
   */
  readonly staying: Readonly<Record<string, DeviceTensor>>;
}

/** A graph made ready for a device; runs as often as wanted. */
export interface Program {
  /** Activation memory of a run. */
  readonly arenaBytes: number;
  /**
   * Begins a run. `inputs` has every input of the graph. Between operations it lets the event loop turn and looks at
   * `signal`. Before it is done another may begin only where the backend `queues`.
   */
  start(inputs: Readonly<Record<string, Input>>, options?: RunOptions): Run;
  /** One run from beginning to end: all outputs, those that stay as well. */
  run(inputs: Readonly<Record<string, Input>>, options?: RunOptions): Promise<Outputs>;
  dispose(): void;
}
