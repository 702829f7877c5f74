import { DeviceError } from "../../errors.ts";
import { readsOf } from "../../graph/operations.ts";
import { planMemory } from "../../graph/planner.ts";
import type { Graph } from "../../graph/recorder.ts";
import { bytesPerElement, type Storage, type Tensor } from "../../graph/tensor.ts";
import type {
  HostArray,
  Input,
  KeyValueCache,
  Outputs,
  Precision,
  Program,
  Run,
  RunOptions,
} from "../backend.ts";
import { assembled, startOnHost } from "../on-host.ts";
import { CpuCache } from "./cache.ts";
import type { Block, Machine } from "./machine.ts";
import type { CpuWeights } from "./weights.ts";
import { operationWords, wordsOf } from "./words.ts";

const headerBytes = 128;
const alignment = 64;
/** Words of `program` in program.h. */
const header = { count: 0, operations: 1, workspace: 2, fast: 3, cancel: 4 };
/** Where an operation keeps the time it took. */
const nanosecondsWord = operationWords - 3;

/**
 * A graph as a list of operations in the machine's memory: one block holds the list, inputs, constants and the arena.
 * A run copies inputs in, makes one call, and copies outputs out.
 */
export class CpuProgram implements Program {
  readonly arenaBytes: number;
  readonly #graph: Graph;
  readonly #machine: Machine;
  readonly #weights: CpuWeights;
  readonly #block: Block;
  readonly #workspace: Block;
  readonly #offsets: Map<number, number>;
  readonly #words: BigInt64Array;
  #cache: CpuCache | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(graph: Graph, weights: CpuWeights, machine: Machine, precision: Precision) {
    this.#graph = graph;
    this.#machine = machine;
    this.#weights = weights;
    const plan = planMemory(graph);
    this.arenaBytes = plan.arenaBytes;
    this.#offsets = new Map();
    let end = headerBytes + graph.operations.length * operationWords * 8;
    const place = (bytes: number) => {
      const offset = Math.ceil(end / alignment) * alignment;
      end = offset + bytes;
      return offset;
    };
    const fixed = fixedStorages(graph);
    for (const storage of fixed) this.#offsets.set(storage.id, place(bytesOf(storage)));
    const arena = place(plan.arenaBytes);
    for (const [id, offset] of plan.offsets) this.#offsets.set(id, arena + offset);
    this.#block = machine.allocate(end + alignment);
    const words = headerBytes / 8 + graph.operations.length * operationWords;
    this.#words = new BigInt64Array(this.#block.view(), this.#block.viewOffset, words);
    for (const storage of fixed) if (storage.values) this.#array(storage).set(storage.values);
    this.#words[header.count] = BigInt(graph.operations.length);
    this.#words[header.operations] = this.#block.address + BigInt(headerBytes);
    this.#words[header.fast] = precision === "fast" ? 1n : 0n;
    if (!usesCache(graph)) this.#write(undefined);
    // Workspace depends on shapes only: with a cache, the list is written again when the cache is known.
    else this.#write([0n, ...cacheSizes(graph), precision === "fast" ? 1n : 0n]);
    this.#workspace = machine.allocate(machine.workspaceBytes(this.#block.address) + alignment);
    this.#words[header.workspace] = this.#workspace.address;
  }

  start(inputs: Readonly<Record<string, Input>>, options?: RunOptions): Run {
    return startOnHost(this.#graph, inputs, (arrays) => this.#execute(arrays, options));
  }

  async run(inputs: Readonly<Record<string, Input>>, options?: RunOptions): Promise<Outputs> {
    return this.#execute(await assembled(this.#graph, inputs), options);
  }

  async #execute(
    inputs: Readonly<Record<string, HostArray>>,
    { cache, signal }: RunOptions = {},
  ): Promise<Outputs> {
    signal?.throwIfAborted();
    this.#useCache(cache);
    for (const [name, { storage }] of this.#graph.inputs) this.#array(storage).set(inputs[name]);
    this.#words[header.cancel] = 0n;
    const cancel = () => {
      this.#words[header.cancel] = 1n;
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const work = this.#machine.run(this.#block.address);
      this.#running = work;
      const outcome = await work;
      signal?.throwIfAborted();
      if (outcome > 0) {
        const { kind } = this.#graph.operations[outcome - 1];
        throw new RangeError(
          `${this.#graph.name}: operation ${outcome - 1} (${kind}) met an id beyond its table`,
        );
      }
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    const outputs: Outputs = {};
    for (const [name, { storage }] of this.#graph.outputs) {
      outputs[name] = this.#array(storage).slice() as Float32Array | Uint32Array;
    }
    return outputs;
  }

  /** Milliseconds that each operation took in the last run. */
  get operationTimes(): number[] {
    return this.#graph.operations.map((_, i) => {
      const word = headerBytes / 8 + i * operationWords + nanosecondsWord;
      return Number(this.#words[word]) / 1e6;
    });
  }

  dispose(): void {
    void this.#running
      .catch(() => undefined)
      .then(() => {
        this.#machine.free(this.#block);
        this.#machine.free(this.#workspace);
      });
  }

  #useCache(cache: KeyValueCache | undefined): void {
    if (!usesCache(this.#graph) || cache === this.#cache) return;
    if (!(cache instanceof CpuCache))
      throw new DeviceError("cpu", "this program needs a cache of the cpu backend");
    this.#write(cache.words);
    this.#cache = cache;
  }

  #write(cache: readonly bigint[] | undefined): void {
    const places = {
      storage: (tensor: Tensor) => this.#block.address + BigInt(this.#offsets.get(tensor.storage.id)!),
      weight: (weight: Parameters<CpuWeights["words"]>[0]) => this.#weights.words(weight),
      vector: (weight: Parameters<CpuWeights["vector"]>[0]) => this.#weights.vector(weight),
      cache: () => cache ?? [],
    };
    this.#graph.operations.forEach((operation, i) => {
      this.#words.set(wordsOf(operation, places), headerBytes / 8 + i * operationWords);
    });
  }

  #array(storage: Storage): HostArray {
    const from = this.#block.viewOffset + this.#offsets.get(storage.id)!;
    const length = storage.rows * storage.columns;
    const buffer = this.#block.view();
    if (storage.type === "f32") return new Float32Array(buffer, from, length);
    if (storage.type === "u32") return new Uint32Array(buffer, from, length);
    return new Uint8Array(buffer, from, length);
  }
}

/** Inputs and constants: what the arena does not hold. */
function fixedStorages(graph: Graph): Storage[] {
  const storages = new Map<number, Storage>();
  for (const { storage } of graph.inputs.values()) storages.set(storage.id, storage);
  for (const { storage } of graph.operations.flatMap(readsOf)) {
    if (storage.kind === "constant") storages.set(storage.id, storage);
  }
  return [...storages.values()];
}

function bytesOf({ rows, columns, type }: Storage): number {
  return rows * columns * bytesPerElement[type];
}

function usesCache(graph: Graph): boolean {
  return graph.operations.some(({ kind }) => kind === "rotary" || kind === "pagedAttention");
}

function cacheSizes(graph: Graph): bigint[] {
  const operation = graph.operations.find(({ kind }) => kind === "rotary" || kind === "pagedAttention");
  const { layers, pageSize, keyValueHeads, headSize } = (operation as { cache: CpuCache["layout"] }).cache;
  return [layers, pageSize, keyValueHeads, headSize].map(BigInt);
}
