import type { WebGpuBackend } from "./backend.ts";
import { CompiledDispatches } from "./encoded.ts";
import { limitWorkgroups, readLimitKernel } from "./kernels/limits.wgsl.ts";
import { type Dispatch, inBuffer, status, statusWords } from "./lower/dispatch.ts";
import { usage } from "./memory.ts";
import { PassTimer } from "./pass-timer.ts";

/** Dispatches that can be encoded. */
export interface Bound {
  readonly compiled: CompiledDispatches;
  readonly groups: readonly GPUBindGroup[];
}

/** What is read to empty the caches. */
interface Flush extends Bound {
  readonly buffer: GPUBuffer;
  /** Readings in a pass. */
  readonly times: number;
}

/** Bytes that no processor's caches hold. */
const flushBytes = 2 ** 27;
/** Passes of readings alone, and as many of readings with what is timed behind each. */
const passes = 5;
/** Readings in a pass: as many as take so many milliseconds. Only a fast card has differences too small for one. */
const readings = { most: 6, milliseconds: 0.2 };

/**
 * Times dispatches by the device's clock as they are in a model, whose layers come one after another: each run waits for a
 * reading of so much else that no weight is in a cache. What the reading takes is measured beside it and taken off; a pass
 * for each run would cost more than kernels differ by.
 */
export class ColdClock {
  readonly #backend: WebGpuBackend;
  readonly #arenaBytes: number;
  readonly #timer: PassTimer;
  readonly #reading: GPUBuffer;
  #flush: Flush | undefined;

  /** @param arenaBytes of the arena, where a run may write */
  constructor(backend: WebGpuBackend, arenaBytes: number) {
    this.#backend = backend;
    this.#arenaBytes = arenaBytes;
    const { device, memory } = backend;
    this.#timer = new PassTimer(device, memory, 2 * passes);
    const flags = usage.copySource | usage.copyTarget;
    this.#reading = memory.allocate("timestamps read", this.#timer.bytes, flags);
  }

  dispose(): void {
    const { memory } = this.#backend;
    this.#timer.dispose();
    memory.free(this.#reading);
    this.#flush?.compiled.dispose();
    if (this.#flush) memory.free(this.#flush.buffer);
  }

  /** Milliseconds of one run. */
  async milliseconds({ compiled, groups }: Bound): Promise<number> {
    this.#flush ??= await this.#makeFlush();
    const flush = this.#flush;
    const all = await this.#timePasses((pass, i) => {
      for (let time = 0; time < flush.times; time++) {
        flush.compiled.encode(pass, flush.groups);
        if (i % 2 === 1) compiled.encode(pass, groups);
      }
    });
    const alone = middle(all.filter((_, i) => i % 2 === 0));
    const together = middle(all.filter((_, i) => i % 2 === 1));
    return Math.max(0, together - alone) / flush.times;
  }

  async #makeFlush(): Promise<Flush> {
    const { device, memory, pipelines, arena } = this.#backend;
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
    const bytes = Math.min(flushBytes, maxStorageBufferBindingSize, maxBufferSize);
    const buffer = memory.allocate("flush", bytes, usage.storage | usage.copyTarget);
    const dispatch: Dispatch = {
      kernel: readLimitKernel(),
      // It could write to the arena, as all dispatches do: so the next waits for it.
      places: [inBuffer(buffer), status(statusWords.badId)],
      sizes: [bytes / 16],
      workgroups: [limitWorkgroups, 1, 1],
    };
    const compiled = await CompiledDispatches.compile(device, memory, pipelines, [dispatch]);
    const groups = compiled.bind({ arena: arena.reserve(this.#arenaBytes), cache: undefined });
    const once = middle(await this.#timePasses((pass) => compiled.encode(pass, groups)));
    const times = Math.max(1, Math.min(readings.most, Math.round(readings.milliseconds / once)));
    return { buffer, compiled, groups, times };
  }

  async #timePasses(encode: (pass: GPUComputePassEncoder, i: number) => void): Promise<number[]> {
    const { device, runner } = this.#backend;
    const encoder = device.gpu.createCommandEncoder();
    for (let i = 0; i < 2 * passes; i++) {
      const pass = encoder.beginComputePass(this.#timer.passOf(i));
      encode(pass, i);
      pass.end();
    }
    this.#timer.resolve(encoder, this.#reading);
    device.gpu.queue.submit([encoder.finish()]);
    return this.#timer.milliseconds(await runner.read(this.#reading));
  }
}

/** Drivers' clocks are wrong at times; the one in the middle is not. */
function middle(times: number[]): number {
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}
