import { DeviceError } from "../../errors.ts";
import type { Graph } from "../../graph/recorder.ts";
import type {
  HostArray,
  Input,
  KeyValueCache,
  Outputs,
  PrepareOptions,
  Program,
  Run,
  RunOptions,
} from "../backend.ts";
import { checkInputs, isOnDevice, isRows } from "../inputs.ts";
import { askSeldom } from "./ask-seldom.ts";
import type { WebGpuBackend } from "./backend.ts";
import { cacheType, WebGpuCache } from "./cache.ts";
import { CompiledDispatches } from "./encoded.ts";
import { farBytes } from "./kernels/look-ahead.ts";
import { layOut, type ProgramLayout, storageBytes } from "./layout.ts";
import { lowerAll } from "./lower-all.ts";
import { alignUp } from "./memory.ts";
import { Usual } from "./patience.ts";
import { type Encoded, type Reading, Recording } from "./recording.ts";
import { WebGpuTensor } from "./tensor.ts";
import type { WebGpuWeights } from "./weights.ts";

/** Submissions that wait behind the one at work, so that the device need not wait for the next. */
const submissionsAhead = 2;
/** `GPUMapMode.READ`. */
const mapRead = 1;

/** One run: what it takes, and where its outputs stay. */
interface Call {
  readonly inputs: Readonly<Record<string, Input>>;
  readonly cache: KeyValueCache | undefined;
  readonly signal: AbortSignal | undefined;
  /** Outputs of earlier runs among the inputs. */
  readonly sources: readonly WebGpuTensor[];
  readonly staying: Readonly<Record<string, WebGpuTensor>>;
}

/**
 * A graph as dispatches over one arena. A run writes the inputs, submits, and maps one buffer with the outputs; the next
 * run is encoded, and may be begun, while the device works.
 */
export class WebGpuProgram implements Program {
  readonly arenaBytes: number;
  readonly #graph: Graph;
  readonly #backend: WebGpuBackend;
  readonly #layout: ProgramLayout;
  readonly #recording: Recording;
  /** Small inputs and constants as they are written before each run. */
  readonly #written: Uint8Array<ArrayBuffer>;
  readonly #needsCache: boolean;
  readonly #weights: WebGpuWeights;
  /** The same without rounding, for inputs whose activations are too large for f16. */
  #exact: Promise<WebGpuProgram> | undefined;
  readonly #usual = new Usual();
  #running: Promise<unknown> = Promise.resolve();
  #times: readonly number[] | undefined;

  private constructor(
    graph: Graph,
    backend: WebGpuBackend,
    layout: ProgramLayout,
    recording: Recording,
    weights: WebGpuWeights,
  ) {
    this.#weights = weights;
    this.#graph = graph;
    this.#backend = backend;
    this.#layout = layout;
    this.#recording = recording;
    this.arenaBytes = layout.arenaBytes;
    this.#needsCache = graph.operations.some(({ kind }) => kind === "rotary" || kind === "pagedAttention");
    this.#written = new Uint8Array(layout.writtenBytes);
    for (const storage of layout.constants) {
      this.#written.set(bytesOf(storage.values!), layout.offsets.get(storage.id)!);
    }
  }

  /** With `portable` without kernels that round activations to f16, and so may find one too large. */
  static async prepare(
    graph: Graph,
    weights: WebGpuWeights,
    backend: WebGpuBackend,
    {
      portable = backend.device.settings.portable,
      ...hooks
    }: PrepareOptions & { readonly portable?: boolean } = {},
  ): Promise<WebGpuProgram> {
    const { device, memory, precision, pipelines, submissions } = backend;
    device.check();
    const layout = layOut(graph);
    const cached = graph.operations.find((operation) => operation.kind === "rotary");
    // Trials write over the arena, and growing replaces it: not between the submissions of a run.
    const { dispatches, ends, bytes } = await submissions.enter(async () => {
      const lowered = await lowerAll(
        graph,
        backend,
        {
          firstScratch: layout.bytes,
          device,
          precision,
          portable,
          cacheType: cached ? cacheType(device, precision, cached.cache) : "f32",
          looksAhead: weights.bytes > farBytes,
          mayRound: !portable && precision === "fast" && device.hasMatrixUnits,
          place: ({ storage }) => ({
            in: "arena",
            offset: layout.offsets.get(storage.id)!,
            bytes: storageBytes(storage),
          }),
          weight: (weight) => weights.get(weight),
          vector: (weight) => ({ in: "buffer", buffer: weights.get(weight).parts[0].values }),
        },
        hooks,
      );
      backend.arena.reserve(lowered.bytes);
      return lowered;
    });
    const compiled = await CompiledDispatches.compile(device, memory, pipelines, dispatches);
    const recording = new Recording(graph, backend, layout, { compiled, ends, bytes });
    return new WebGpuProgram(graph, backend, layout, recording, weights);
  }

  start(inputs: Readonly<Record<string, Input>>, { cache, signal }: RunOptions = {}): Run {
    const { outputs: buffers, runner } = this.#backend;
    const staying: Record<string, WebGpuTensor> = {};
    for (const name of this.#graph.staying) {
      staying[name] = new WebGpuTensor(this.#graph.outputs.get(name)!.storage, buffers, runner);
    }
    const sources = sourcesOf(inputs);
    const outputs = this.#complete({ inputs, cache, signal, sources, staying });
    const done = outputs.then(
      () => undefined,
      () => undefined,
    );
    this.#running = Promise.all([this.#running, done]).then(() => undefined);
    for (const tensor of Object.values(staying)) {
      tensor.settled = outputs;
      tensor.hold(); // a redone run writes it again
      void done.then(() => tensor.letGo());
    }
    return { outputs, staying };
  }

  async run(inputs: Readonly<Record<string, Input>>, options?: RunOptions): Promise<Outputs> {
    const { outputs, staying } = this.start(inputs, options);
    try {
      const all = { ...(await outputs) };
      for (const [name, tensor] of Object.entries(staying)) all[name] = await tensor.read();
      return all;
    } finally {
      for (const tensor of Object.values(staying)) tensor.letGo();
    }
  }

  /** Milliseconds that each operation took in the last run; undefined where they were not timed. */
  get operationTimes(): readonly number[] | undefined {
    return this.#backend.timing === "operations" ? this.#times : undefined;
  }

  /** Milliseconds for which the device worked on the last run; undefined where that was not timed. */
  get deviceMilliseconds(): number | undefined {
    return this.#times?.reduce((sum, time) => sum + time, 0);
  }

  dispose(): void {
    void this.#running.then(() => {
      this.#recording.dispose();
      return this.#exact?.then((exact) => exact.dispose());
    });
  }

  /** A run and, where it or one that it takes from had rounded a number away, the same again. */
  async #complete(call: Call): Promise<Outputs> {
    const { sources, staying } = call;
    for (const source of sources) source.hold();
    try {
      checkInputs(this.#graph, call.inputs);
      let { reading, versions } = await this.#execute(call);
      await Promise.all(sources.map(({ settled }) => settled));
      let again = sources.some(({ version }, i) => version !== versions[i]);
      if (again) ({ reading, versions } = await this.#execute(call));
      if (reading.overflow) {
        again = true;
        this.#exact ??= WebGpuProgram.prepare(this.#graph, this.#weights, this.#backend, { portable: true });
        ({ reading } = await (await this.#exact).#execute(call));
      }
      if (again) for (const tensor of Object.values(staying)) tensor.version++;
      return reading.outputs;
    } finally {
      for (const source of sources) source.letGo();
    }
  }

  async #execute(call: Call): Promise<{ reading: Reading; versions: readonly number[] }> {
    const { device, submissions } = this.#backend;
    let submitted: { encoded: Encoded; mapped: Promise<undefined>; versions: number[] };
    try {
      submitted = await submissions.enter(() => this.#submit(call));
      await submitted.mapped;
    } catch (cause) {
      call.signal?.throwIfAborted();
      throw device.explain(cause);
    }
    const { encoded, versions } = submitted;
    const reading = this.#recording.read(encoded);
    device.check();
    call.signal?.throwIfAborted();
    if (reading.badId) {
      const step = this.#graph.operations.findIndex(({ kind }) => kind === "embed");
      throw new RangeError(`${this.#graph.name}: operation ${step} (embed) met an id beyond its table`);
    }
    this.#times = reading.times;
    return { reading, versions };
  }

  async #submit(call: Call): Promise<{ encoded: Encoded; mapped: Promise<undefined>; versions: number[] }> {
    const { device } = this.#backend;
    const { queue } = device.gpu;
    const { signal, sources, staying } = call;
    device.check();
    signal?.throwIfAborted();
    const cache = this.#cacheOf(call.cache);
    const encoded = this.#recording.take(cache);
    const { commands } = encoded;
    const { arena } = encoded.around;
    const versions = sources.map(({ version }) => version);
    try {
      const fed = this.#writeInputs(call.inputs, arena);
      const kept = this.#keep(staying, arena);
      const done: Promise<unknown>[] = [];
      for (const [i, part] of commands.entries()) {
        if (i > submissionsAhead) await done[i - 1 - submissionsAhead];
        signal?.throwIfAborted();
        const isLast = i === commands.length - 1;
        queue.submit([...(i === 0 ? fed : []), part, ...(isLast ? kept : [])]);
        if (i + 1 + submissionsAhead < commands.length)
          done.push(askSeldom(() => queue.onSubmittedWorkDone()));
      }
    } catch (error) {
      this.#recording.giveBack(encoded);
      throw error;
    }
    const mapped = this.#backend.patience.end(() => encoded.readback.mapAsync(mapRead), this.#usual);
    this.#recording.prepareNext(cache);
    return { encoded, mapped, versions };
  }

  /** Writes inputs that come from the computer; gives the commands that bring those from other places of the device. */
  #writeInputs(inputs: Call["inputs"], arena: GPUBuffer): GPUCommandBuffer[] {
    const { gpu } = this.#backend.device;
    const { writtenBytes, offsets } = this.#layout;
    const later: (() => void)[] = [];
    let encoder: GPUCommandEncoder | undefined;
    const write = (offset: number, array: HostArray) => {
      if (offset < writtenBytes) this.#written.set(bytesOf(array), offset);
      else later.push(() => gpu.queue.writeBuffer(arena, offset, bytesOf(array)));
    };
    for (const [name, { storage }] of this.#graph.inputs) {
      const input = inputs[name];
      let offset = offsets.get(storage.id)!;
      if (!isRows(input)) {
        write(offset, input);
        continue;
      }
      const rowBytes = storageBytes({ ...storage, rows: 1 });
      for (const { of, first, count } of input) {
        if (isOnDevice(of)) {
          encoder ??= gpu.createCommandEncoder();
          const { buffer } = of as WebGpuTensor;
          encoder.copyBufferToBuffer(buffer, first * rowBytes, arena, offset, count * rowBytes);
        } else write(offset, of.subarray(first * storage.columns, (first + count) * storage.columns));
        offset += count * rowBytes;
      }
    }
    gpu.queue.writeBuffer(arena, 0, this.#written);
    for (const each of later) each();
    return encoder ? [encoder.finish()] : [];
  }

  /** The commands that copy outputs to where they stay. */
  #keep(staying: Call["staying"], arena: GPUBuffer): GPUCommandBuffer[] {
    const kept = Object.entries(staying);
    if (kept.length === 0) return [];
    const encoder = this.#backend.device.gpu.createCommandEncoder();
    for (const [name, { buffer }] of kept) {
      const { storage } = this.#graph.outputs.get(name)!;
      const from = this.#layout.offsets.get(storage.id)!;
      encoder.copyBufferToBuffer(arena, from, buffer, 0, alignUp(storageBytes(storage), 4));
    }
    return [encoder.finish()];
  }

  #cacheOf(cache: KeyValueCache | undefined): WebGpuCache | undefined {
    if (!this.#needsCache) return undefined;
    if (cache instanceof WebGpuCache) return cache;
    throw new DeviceError("webgpu", "this program needs a cache of the webgpu backend");
  }
}

/** Outputs of earlier runs among the inputs. */
function sourcesOf(inputs: Call["inputs"]): WebGpuTensor[] {
  const all = Object.values(inputs).flatMap((input) => (isRows(input) ? input : []));
  return [...new Set(all.map(({ of }) => of))].filter((of) => of instanceof WebGpuTensor);
}

function bytesOf(array: HostArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}
