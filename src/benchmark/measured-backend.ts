import type {
  Backend,
  Input,
  KeyValueCache,
  LoadedWeights,
  Outputs,
  PrepareOptions,
  Program,
} from "../backend/backend.ts";
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
  /** Milliseconds for which the device worked; undefined where the backend does not say. */
  readonly deviceMilliseconds: number | undefined;
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
  readonly queues: boolean;
  runs: Run[] = [];
  /** Called after each run, before the engine goes on. */
  onRun: ((run: Run) => void) | undefined;
  readonly #inner: Backend;

  constructor(inner: Backend) {
    this.#inner = inner;
    this.name = inner.name;
    this.tilesAtOnce = inner.tilesAtOnce;
    this.tokensAtOnce = inner.tokensAtOnce;
    this.queues = inner.queues;
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

  async prepare(graph: Graph, weights: LoadedWeights, options?: PrepareOptions): Promise<Program> {
    const program = await this.#inner.prepare(graph, weights, options);
    const measured = (begin: number, inputs: Readonly<Record<string, Input>>, outputs: Promise<Outputs>) =>
      outputs.then((values) => {
        const end = performance.now();
        const run = { graph, begin, end, ...timesOf(program), attended: attendedBy(inputs) };
        const noted = { ...run, handedOver: performance.now() };
        this.runs.push(noted);
        this.onRun?.(noted);
        return values;
      });
    return {
      arenaBytes: program.arenaBytes,
      start: (inputs, options) => {
        const begin = performance.now();
        const { outputs, staying } = program.start(inputs, options);
        return { outputs: measured(begin, inputs, outputs), staying };
      },
      run: (inputs, options) => measured(performance.now(), inputs, program.run(inputs, options)),
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

function timesOf(program: Program): Pick<Run, "operations" | "deviceMilliseconds"> {
  if (program instanceof WebGpuProgram) {
    return { operations: program.operationTimes, deviceMilliseconds: program.deviceMilliseconds };
  }
  const operations = program instanceof CpuProgram ? program.operationTimes : undefined;
  return { operations, deviceMilliseconds: operations?.reduce((all, time) => all + time, 0) };
}

function attendedBy(inputs: Readonly<Record<string, Input>>): Attended {
  const starts = inputs.starts as Uint32Array | undefined;
  const lengths = inputs.lengths as Uint32Array | undefined;
  let pairs = 0;
  let positions = 0;
  lengths?.forEach((length, sequence) => {
    const rows = starts![sequence + 1] - starts![sequence];
    pairs += rows * (length - rows) + (rows * (rows + 1)) / 2;
    positions += length;
  });
  return { pairs, positions };
}
