import type { Backend, KeyValueCache, LoadedWeights, Program } from "../backend/backend.ts";
import { CpuProgram } from "../backend/cpu/program.ts";
import { WebGpuProgram } from "../backend/webgpu/program.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import type { Graph } from "../graph/recorder.ts";
import type { CacheLayout, Weight } from "../graph/tensor.ts";

/** One run of a program. Times are milliseconds of `performance.now()`. */
export interface Run {
  readonly graph: Graph;
  readonly begin: number;
  readonly end: number;
  /** When the engine got its answer: what lies between `end` and this is the measuring itself. */
  readonly handedOver: number;
  /** Milliseconds of each operation; undefined where the backend does not say. */
  readonly operations: readonly number[] | undefined;
  readonly attended: Attended;
}

/** What `pagedAttention` does, which only the run knows. */
export interface Attended {
  /** Pairs of a new token and a position it looks at. */
  readonly pairs: number;
  /** Positions whose keys and values are read, over all sequences. */
  readonly positions: number;
}

/** A backend that notes when each program runs and what its operations take, and otherwise does what another does. */
export class MeasuredBackend implements Backend {
  readonly name: string;
  readonly tilesAtOnce: number;
  readonly tokensAtOnce: number;
  runs: Run[] = [];
  /** Called after each run, before the engine goes on. */
  onRun: ((run: Run) => void) | undefined;
  readonly #inner: Backend;

  constructor(inner: Backend) {
    this.#inner = inner;
    this.name = inner.name;
    this.tilesAtOnce = inner.tilesAtOnce;
    this.tokensAtOnce = inner.tokensAtOnce;
  }

  loadWeights(
    weights: readonly Weight[],
    store: TensorStore,
    options: Parameters<Backend["loadWeights"]>[2],
  ): Promise<LoadedWeights> {
    return this.#inner.loadWeights(weights, store, options);
  }

  createCache(layout: CacheLayout, pages: number): KeyValueCache {
    return this.#inner.createCache(layout, pages);
  }

  async prepare(graph: Graph, weights: LoadedWeights): Promise<Program> {
    const program = await this.#inner.prepare(graph, weights);
    return {
      arenaBytes: program.arenaBytes,
      run: async (inputs, options) => {
        const begin = performance.now();
        const outputs = await program.run(inputs, options);
        const end = performance.now();
        const operations = timesOf(program);
        const attended = attendedBy(inputs);
        const run = { graph, begin, end, handedOver: performance.now(), operations, attended };
        this.runs.push(run);
        this.onRun?.(run);
        return outputs;
      },
      dispose: () => program.dispose(),
    };
  }

  /** The runs since the last call. */
  takeRuns(): Run[] {
    const { runs } = this;
    this.runs = [];
    return runs;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#inner[Symbol.asyncDispose]());
  }
}

function timesOf(program: Program): readonly number[] | undefined {
  return program instanceof CpuProgram || program instanceof WebGpuProgram
    ? program.operationTimes
    : undefined;
}

function attendedBy({ starts, lengths }: Parameters<Program["run"]>[0]): Attended {
  let pairs = 0;
  let positions = 0;
  lengths?.forEach((length, sequence) => {
    const rows = starts[sequence + 1] - starts[sequence];
    pairs += rows * (length - rows) + (rows * (rows + 1)) / 2;
    positions += length;
  });
  return { pairs, positions };
}
