import { DeviceError } from "../../errors.ts";
import { costOf } from "../../graph/cost.ts";
import type { Operation } from "../../graph/operations.ts";
import type { Graph } from "../../graph/recorder.ts";
import type { Storage } from "../../graph/tensor.ts";
import type { HostArray, KeyValueCache, Program } from "../backend.ts";
import { checkInputs } from "../inputs.ts";
import type { WebGpuBackend } from "./backend.ts";
import { cacheType, WebGpuCache } from "./cache.ts";
import { CompiledDispatches, type Surroundings, statusStride } from "./encoded.ts";
import { layOut, type ProgramLayout, storageBytes } from "./layout.ts";
import { statusWords } from "./lower/dispatch.ts";
import { lowerAll } from "./lower-all.ts";
import { alignUp, usage } from "./memory.ts";
import { OperationTimer } from "./operation-timer.ts";
import type { WebGpuWeights } from "./weights.ts";

/**
 * Arithmetic in one submission at most. Systems reset a device whose work takes seconds, and between submissions a
 * signal is seen.
 */
const submissionFlops = 4e11;
/** Submissions that wait behind the one at work, so that the device need not wait for the next. */
const submissionsAhead = 2;
/** `GPUMapMode.READ`. */
const mapRead = 1;

type Outputs = Record<string, Float32Array | Uint32Array>;
type RunArguments = [
  inputs: Readonly<Record<string, HostArray>>,
  cache: WebGpuCache | undefined,
  signal: AbortSignal | undefined,
];

/** Commands of one run, encoded but not yet submitted. */
interface Encoded {
  readonly commands: readonly GPUCommandBuffer[];
  readonly around: Surroundings;
  readonly generation: number;
}

/**
 * A graph as dispatches over one arena. A run writes the inputs, submits, and maps one buffer with all outputs; the next
 * run is encoded while the device works.
 */
export class WebGpuProgram implements Program {
  readonly arenaBytes: number;
  readonly #graph: Graph;
  readonly #backend: WebGpuBackend;
  readonly #layout: ProgramLayout;
  readonly #compiled: CompiledDispatches;
  /** For each operation, the number of dispatches up to its end. */
  readonly #ends: readonly number[];
  readonly #bytes: number;
  /** Inputs and constants as they are written before each run. */
  readonly #written: Uint8Array<ArrayBuffer>;
  readonly #readback: GPUBuffer;
  readonly #outputs: readonly { name: string; storage: Storage; offset: number }[];
  readonly #needsCache: boolean;
  readonly #weights: WebGpuWeights;
  readonly #timer: OperationTimer | undefined;
  /** The same without rounding, for inputs whose activations are too large for f16. */
  #exact: Promise<WebGpuProgram> | undefined;
  #groups: { groups: GPUBindGroup[]; around: Surroundings; generation: number } | undefined;
  #next: Encoded | undefined;
  #running: Promise<unknown> = Promise.resolve();

  private constructor(
    graph: Graph,
    backend: WebGpuBackend,
    layout: ProgramLayout,
    lowered: { compiled: CompiledDispatches; ends: readonly number[]; bytes: number },
    weights: WebGpuWeights,
  ) {
    this.#weights = weights;
    this.#graph = graph;
    this.#backend = backend;
    this.#layout = layout;
    this.#compiled = lowered.compiled;
    this.#ends = lowered.ends;
    this.#bytes = lowered.bytes;
    this.arenaBytes = layout.arenaBytes;
    this.#needsCache = graph.operations.some(({ kind }) => kind === "rotary" || kind === "pagedAttention");
    this.#written = new Uint8Array(layout.writtenBytes);
    for (const storage of layout.constants) {
      this.#written.set(bytesOf(storage.values!), layout.offsets.get(storage.id)!);
    }
    let end = statusBytes;
    this.#outputs = [...graph.outputs].map(([name, { storage }]) => {
      const offset = end;
      end += alignUp(storageBytes(storage), 4);
      return { name, storage, offset };
    });
    if (backend.timesOperations && backend.device.features.has("timestamp-query")) {
      this.#timer = new OperationTimer(backend.device, backend.memory, graph.operations.length);
    }
    this.#readback = backend.memory.allocate("outputs", end, usage.mapRead | usage.copyTarget);
  }

  /** @param portable without kernels that round activations to f16, and so may find one too large */
  static async prepare(
    graph: Graph,
    weights: WebGpuWeights,
    backend: WebGpuBackend,
    portable = backend.device.settings.portable,
  ): Promise<WebGpuProgram> {
    const { device, memory, precision, pipelines } = backend;
    device.check();
    const layout = layOut(graph);
    const cached = graph.operations.find((operation) => operation.kind === "rotary");
    const { dispatches, ends, bytes } = await lowerAll(graph, backend, {
      firstScratch: layout.bytes,
      device,
      precision,
      portable,
      cacheType: cached ? cacheType(device, precision, cached.cache) : "f32",
      mayRound: !portable && precision === "fast" && device.hasMatrixUnits,
      place: ({ storage }) => ({
        in: "arena",
        offset: layout.offsets.get(storage.id)!,
        bytes: storageBytes(storage),
      }),
      weight: (weight) => weights.get(weight),
      vector: (weight) => ({ in: "buffer", buffer: weights.get(weight).parts[0].values }),
    });
    const compiled = await CompiledDispatches.compile(device, memory, pipelines, dispatches);
    backend.arena.reserve(bytes);
    return new WebGpuProgram(graph, backend, layout, { compiled, ends, bytes }, weights);
  }

  async run(
    inputs: Readonly<Record<string, HostArray>>,
    { cache, signal }: { cache?: KeyValueCache; signal?: AbortSignal } = {},
  ): Promise<Record<string, Float32Array | Uint32Array>> {
    checkInputs(this.#graph, inputs);
    signal?.throwIfAborted();
    const run = this.#runExactlyIfNeeded(inputs, this.#cacheOf(cache), signal);
    this.#running = run.catch(() => undefined);
    return run;
  }

  async #runExactlyIfNeeded(...call: RunArguments): Promise<Outputs> {
    const { outputs, overflow } = await this.#execute(...call);
    if (!overflow) return outputs;
    this.#exact ??= WebGpuProgram.prepare(this.#graph, this.#weights, this.#backend, true);
    return (await (await this.#exact).#execute(...call)).outputs;
  }

  /** Milliseconds that each operation took in the last run; undefined where they were not timed. */
  get operationTimes(): readonly number[] | undefined {
    return this.#timer?.milliseconds;
  }

  dispose(): void {
    void this.#running.then(() => {
      this.#timer?.dispose();
      this.#compiled.dispose();
      this.#backend.memory.free(this.#readback);
      return this.#exact?.then((exact) => exact.dispose());
    });
  }

  async #execute(...[inputs, cache, signal]: RunArguments): Promise<{ outputs: Outputs; overflow: boolean }> {
    const { device } = this.#backend;
    device.check();
    const { queue } = device.gpu;
    const { commands, around } = this.#take(cache);
    for (const [name, { storage }] of this.#graph.inputs) {
      this.#written.set(bytesOf(inputs[name]), this.#layout.offsets.get(storage.id)!);
    }
    try {
      if (this.#written.length > 0) queue.writeBuffer(around.arena, 0, this.#written);
      const done: Promise<unknown>[] = [];
      for (const [i, part] of commands.entries()) {
        if (i > submissionsAhead) await done[i - 1 - submissionsAhead];
        signal?.throwIfAborted();
        queue.submit([part]);
        if (i + 1 + submissionsAhead < commands.length) done.push(queue.onSubmittedWorkDone());
      }
      const mapped = this.#readback.mapAsync(mapRead);
      // While the device works: what the next run submits.
      this.#next = this.#encode(cache);
      await mapped;
      await this.#timer?.read();
    } catch (cause) {
      signal?.throwIfAborted();
      throw device.explain(cause);
    }
    try {
      device.check();
      const answers = this.#readback.getMappedRange();
      signal?.throwIfAborted();
      // The null device computes nothing: what it gives back means nothing.
      const computed = !device.settings.nullDevice;
      const status = computed
        ? new Uint32Array(answers, 0, statusBytes / 4)
        : new Uint32Array(statusBytes / 4);
      this.#checkIds(status);
      const outputs = this.#outputs.map(({ name, storage, offset }) => {
        const array = storage.type === "u32" ? Uint32Array : Float32Array;
        return [name, new array(answers, offset, storage.rows * storage.columns).slice()] as const;
      });
      return { outputs: Object.fromEntries(outputs), overflow: status[statusWords.overflow] !== 0 };
    } finally {
      this.#readback.unmap();
    }
  }

  #checkIds(status: Uint32Array): void {
    if (status[statusWords.badId] === 0) return;
    const step = this.#graph.operations.findIndex(({ kind }) => kind === "embed");
    throw new RangeError(`${this.#graph.name}: operation ${step} (embed) met an id beyond its table`);
  }

  /** What was encoded ahead, where everything still lies where it did. */
  #take(cache: WebGpuCache | undefined): Encoded {
    const ahead = this.#next;
    this.#next = undefined;
    const { arena } = this.#backend;
    arena.reserve(this.#bytes);
    if (ahead && ahead.generation === arena.generation && ahead.around.cache === cache) return ahead;
    return this.#encode(cache);
  }

  #encode(cache: WebGpuCache | undefined): Encoded {
    const { device, arena, status } = this.#backend;
    if (this.#groups?.generation !== arena.generation || this.#groups.around.cache !== cache) {
      const around = { arena: arena.reserve(this.#bytes), status, cache };
      this.#groups = { groups: this.#compiled.bind(around), around, generation: arena.generation };
    }
    const { groups, around, generation } = this.#groups;
    const commands: GPUCommandBuffer[] = [];
    let encoder = device.gpu.createCommandEncoder();
    encoder.clearBuffer(around.status);
    const timer = this.#timer;
    let pass = timer ? undefined : encoder.beginComputePass();
    let from = 0;
    let flops = 0;
    this.#graph.operations.forEach((operation, i) => {
      const more = roughFlops(operation);
      if (flops > 0 && flops + more > submissionFlops) {
        pass?.end();
        commands.push(encoder.finish());
        encoder = device.gpu.createCommandEncoder();
        if (pass) pass = encoder.beginComputePass();
        flops = 0;
      }
      flops += more;
      const own = pass ?? encoder.beginComputePass(timer!.passOf(i));
      this.#compiled.encode(own, groups, from, this.#ends[i]);
      if (!pass) own.end();
      from = this.#ends[i];
    });
    pass?.end();
    timer?.resolve(encoder);
    for (const word of Object.values(statusWords)) {
      encoder.copyBufferToBuffer(around.status, word * statusStride, this.#readback, word * 4, 4);
    }
    for (const { storage, offset } of this.#outputs) {
      const bytes = alignUp(storageBytes(storage), 4);
      encoder.copyBufferToBuffer(
        around.arena,
        this.#layout.offsets.get(storage.id)!,
        this.#readback,
        offset,
        bytes,
      );
    }
    commands.push(encoder.finish());
    return { commands, around, generation };
  }

  #cacheOf(cache: KeyValueCache | undefined): WebGpuCache | undefined {
    if (!this.#needsCache) return undefined;
    if (cache instanceof WebGpuCache) return cache;
    throw new DeviceError("webgpu", "this program needs a cache of the webgpu backend");
  }
}

const statusBytes = 4 * Object.keys(statusWords).length;

function bytesOf(array: HostArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function roughFlops(operation: Operation): number {
  const paged = operation.kind === "pagedAttention";
  const seen = paged ? operation.query.rows * operation.pages.columns * operation.cache.pageSize : 0;
  return costOf(operation, 0, seen).flops;
}
