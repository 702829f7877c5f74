import { costOf } from "../../graph/cost.ts";
import type { Operation } from "../../graph/operations.ts";
import type { Graph } from "../../graph/recorder.ts";
import type { Storage } from "../../graph/tensor.ts";
import type { Outputs } from "../backend.ts";
import type { WebGpuBackend } from "./backend.ts";
import type { WebGpuCache } from "./cache.ts";
import type { CompiledDispatches, Surroundings } from "./encoded.ts";
import { type ProgramLayout, statusStride, storageBytes } from "./layout.ts";
import { type StatusWord, statusWords } from "./lower/dispatch.ts";
import { alignUp, usage } from "./memory.ts";
import { PassTimer } from "./pass-timer.ts";

/**
 * Arithmetic in one submission at most. Systems reset a device whose work takes seconds, and between submissions a
 * signal is seen; but each has its price, and devices with matrix units are fast.
 */
const submissionFlops = { withMatrixUnits: 2e12, without: 4e11 };

/** Commands of one run, encoded but not yet submitted, and the buffer from which its outputs will be read. */
export interface Encoded {
  readonly commands: readonly GPUCommandBuffer[];
  readonly around: Surroundings;
  readonly generation: number;
  readonly readback: GPUBuffer;
}

/** What a run left in its readback. */
export interface Reading {
  readonly outputs: Outputs;
  /** Whether an operation met an id beyond its table. */
  readonly badId: boolean;
  /** Whether an activation was too large for f16. */
  readonly overflow: boolean;
  /** Milliseconds of each operation, or of each submission, where the backend times them. */
  readonly times: readonly number[] | undefined;
}

/** A program's commands, encoded anew for each run, ahead of it where that can be. */
export class Recording {
  readonly #backend: WebGpuBackend;
  readonly #layout: ProgramLayout;
  readonly #compiled: CompiledDispatches;
  /** For each operation, the number of dispatches up to its end. */
  readonly #ends: readonly number[];
  readonly #bytes: number;
  readonly #outputs: readonly { name: string; storage: Storage; offset: number }[];
  readonly #readbackBytes: number;
  readonly #timesAt: number;
  readonly #timer: PassTimer | undefined;
  /** The first operation of each submission, and the end of the last. */
  readonly #cuts: readonly number[];
  readonly #free: GPUBuffer[] = [];
  #groups: { groups: GPUBindGroup[]; around: Surroundings; generation: number } | undefined;
  #next: Encoded | undefined;

  constructor(
    graph: Graph,
    backend: WebGpuBackend,
    layout: ProgramLayout,
    { compiled, ends, bytes }: { compiled: CompiledDispatches; ends: readonly number[]; bytes: number },
  ) {
    this.#backend = backend;
    this.#layout = layout;
    this.#compiled = compiled;
    this.#ends = ends;
    this.#bytes = bytes;
    const most = submissionFlops[backend.device.hasMatrixUnits ? "withMatrixUnits" : "without"];
    this.#cuts = submissionCuts(graph.operations, most);
    let end = layout.reportedBytes;
    const read = [...graph.outputs].filter(([name]) => !graph.staying.has(name));
    this.#outputs = read.map(([name, { storage }]) => {
      const from = layout.offsets.get(storage.id)!;
      if (from < layout.reportedBytes) return { name, storage, offset: from };
      const offset = end;
      end += alignUp(storageBytes(storage), 4);
      return { name, storage, offset };
    });
    this.#timesAt = alignUp(end, 8);
    const { timing, device, memory } = backend;
    if (timing !== "none" && device.features.has("timestamp-query")) {
      const passes = timing === "operations" ? graph.operations.length : this.#cuts.length - 1;
      this.#timer = new PassTimer(device, memory, passes);
      end = this.#timesAt + this.#timer.bytes;
    }
    this.#readbackBytes = end;
  }

  /** Commands for a run: those encoded ahead, where everything still lies where it did. */
  take(cache: WebGpuCache | undefined): Encoded {
    const ahead = this.#next;
    this.#next = undefined;
    const { arena } = this.#backend;
    arena.reserve(this.#bytes);
    if (!ahead) return this.#encode(cache);
    if (ahead.generation === arena.generation && ahead.around.cache === cache) return ahead;
    this.#free.push(ahead.readback);
    return this.#encode(cache);
  }

  /** Encodes the next run, while the device works. */
  prepareNext(cache: WebGpuCache | undefined): void {
    this.#next ??= this.#encode(cache);
  }

  /** What lies in a readback that is mapped; it may be used again after that. */
  read({ readback }: Encoded): Reading {
    try {
      const bytes = readback.getMappedRange();
      // The null device computes nothing: what it gives back means nothing.
      const computed = !this.#backend.device.settings.nullDevice;
      const status = (word: StatusWord) => new Uint32Array(bytes, word * statusStride, 1)[0];
      const outputs = this.#outputs.map(({ name, storage, offset }) => {
        const array = storage.type === "u32" ? Uint32Array : Float32Array;
        return [name, new array(bytes, offset, storage.rows * storage.columns).slice()] as const;
      });
      return {
        outputs: Object.fromEntries(outputs),
        badId: computed && status(statusWords.badId) !== 0,
        overflow: computed && status(statusWords.overflow) !== 0,
        times: this.#timer?.milliseconds(bytes, this.#timesAt),
      };
    } finally {
      readback.unmap();
      this.#free.push(readback);
    }
  }

  /** A run that was not submitted, or not to its end. */
  giveBack({ readback }: Encoded): void {
    this.#free.push(readback);
  }

  dispose(): void {
    this.#timer?.dispose();
    this.#compiled.dispose();
    if (this.#next) this.#free.push(this.#next.readback);
    for (const buffer of this.#free) this.#backend.memory.free(buffer);
  }

  #encode(cache: WebGpuCache | undefined): Encoded {
    const { device, arena, memory, timing } = this.#backend;
    if (this.#groups?.generation !== arena.generation || this.#groups.around.cache !== cache) {
      const around = { arena: arena.reserve(this.#bytes), cache };
      this.#groups = { groups: this.#compiled.bind(around), around, generation: arena.generation };
    }
    const { around, generation } = this.#groups;
    const flags = usage.mapRead | usage.copyTarget;
    const readback = this.#free.pop() ?? memory.allocate("outputs", this.#readbackBytes, flags);
    const commands = this.#cuts.slice(1).map((to, i) => {
      const from = this.#cuts[i];
      const last = i === this.#cuts.length - 2;
      const encoder = device.gpu.createCommandEncoder();
      if (this.#timer && timing === "operations") {
        for (let operation = from; operation < to; operation++) {
          this.#pass(encoder, operation, operation + 1, this.#timer.passOf(operation));
        }
      } else this.#pass(encoder, from, to, this.#timer?.passOf(i));
      if (last) this.#copyOut(encoder, around, readback);
      return encoder.finish();
    });
    return { commands, around, generation, readback };
  }

  #pass(encoder: GPUCommandEncoder, from: number, to: number, timed?: GPUComputePassDescriptor): void {
    const pass = encoder.beginComputePass(timed);
    const first = from === 0 ? 0 : this.#ends[from - 1];
    this.#compiled.encode(pass, this.#groups!.groups, first, this.#ends[to - 1]);
    pass.end();
  }

  #copyOut(encoder: GPUCommandEncoder, { arena }: Surroundings, readback: GPUBuffer): void {
    this.#timer?.resolve(encoder, readback, this.#timesAt);
    const { offsets, reportedBytes } = this.#layout;
    encoder.copyBufferToBuffer(arena, 0, readback, 0, reportedBytes);
    for (const { storage, offset } of this.#outputs) {
      if (offset < reportedBytes) continue;
      const from = offsets.get(storage.id)!;
      encoder.copyBufferToBuffer(arena, from, readback, offset, alignUp(storageBytes(storage), 4));
    }
  }
}

function submissionCuts(operations: readonly Operation[], most: number): number[] {
  const cuts = [0];
  let flops = 0;
  operations.forEach((operation, i) => {
    const more = roughFlops(operation);
    if (flops > 0 && flops + more > most) {
      cuts.push(i);
      flops = 0;
    }
    flops += more;
  });
  return [...cuts, operations.length];
}

function roughFlops(operation: Operation): number {
  const paged = operation.kind === "pagedAttention";
  const seen = paged ? operation.query.rows * operation.pages.columns * operation.cache.pageSize : 0;
  return costOf(operation, 0, seen).flops;
}
