import { widen } from "../../checkpoint/dtypes.ts";
import { DeviceError } from "../../errors.ts";
import type { WebGpuBackend } from "./backend.ts";
import { type Bound, ColdClock } from "./cold-clock.ts";
import { CompiledDispatches, type Surroundings } from "./encoded.ts";
import type { Dispatch } from "./lower/dispatch.ts";
import type { Choice, Variant } from "./lower/variant.ts";
import { usage } from "./memory.ts";
import { randomHalves, relativeDistance } from "./proof.ts";

/** A variant on trial. */
interface Candidate extends Bound {
  readonly variant: Variant;
}

/** What was found of a choice. */
export interface Finding {
  readonly variant: string;
  /** What each variant took, or why it was left out. */
  readonly notes: readonly string[];
}

/** How far a variant may be from the plain one: as a share of the length of all results. */
const tolerances = { exact: 1e-4, rounded: 5e-3 };
/** Milliseconds that one measurement should take. */
const enough = 1;
/**
 * Milliseconds of work before the first measurement, in pieces of so many: a card at rest has its clocks down, and takes
 * some tenths of a second to turn them up.
 */
const warmUp = { all: 600, piece: 10 };
/** Of large outputs only this many bytes at either end are compared. */
const comparedBytes = 2 ** 20;
/** Of results that take longer than this many milliseconds once, nothing is repeated. */
const slow = 20;

/**
 * Finds the fastest variant by trial: each is compiled, its results compared with those of the plain one on random
 * numbers, and then timed. A variant that does not compile, or is wrong, is left out.
 */
export class Trial {
  readonly #backend: WebGpuBackend;
  readonly #arenaBytes: number;
  readonly #clock: ColdClock | undefined;
  #warm = false;

  /** @param arenaBytes of the arena, all of which is filled with random numbers */
  constructor(backend: WebGpuBackend, arenaBytes: number) {
    this.#backend = backend;
    this.#arenaBytes = arenaBytes;
    if (backend.device.features.has("timestamp-query")) this.#clock = new ColdClock(backend, arenaBytes);
  }

  get #tries(): boolean {
    const { isSoftware, settings } = this.#backend.device;
    return !isSoftware || settings.trial;
  }

  dispose(): void {
    this.#clock?.dispose();
  }

  /** The name of the fastest variant that is right. @param build the dispatches of a variant */
  async fastest(choice: Choice, build: (variant: Variant) => Dispatch[]): Promise<Finding> {
    const notes: string[] = [];
    const candidates: Candidate[] = [];
    const buffers = this.#cacheBuffers(choice);
    const cache = buffers && { keys: everyLayer(buffers[0]), values: everyLayer(buffers[1]) };
    try {
      for (const variant of choice.variants) {
        try {
          candidates.push(await this.#compile(variant, build(variant), cache));
        } catch (error) {
          this.#backend.device.check();
          if (!(error instanceof DeviceError)) throw error;
          notes.push(`${variant.name} does not compile: ${error.message.split("\n")[0]}`);
        }
      }
      const plain = candidates.at(-1);
      if (!plain || plain.variant !== choice.variants.at(-1))
        throw new DeviceError("webgpu", notes.join("; "));
      // Software adapters would take minutes for a trial: there, what is likely best is taken.
      if (candidates.length === 1 || !this.#tries) {
        return { variant: candidates[0].variant.name, notes };
      }
      this.#prepare(choice);
      const wanted = await this.#results(plain, choice);
      const { variant: forced } = this.#backend.device.settings;
      let best = { name: plain.variant.name, milliseconds: Infinity };
      for (const candidate of candidates) {
        const { name, rounds } = candidate.variant;
        const apart =
          candidate === plain ? 0 : relativeDistance(await this.#results(candidate, choice), wanted);
        if (!(apart <= (rounds ? tolerances.rounded : tolerances.exact))) {
          notes.push(`${name} is wrong: ${apart.toExponential(1)} apart`);
          continue;
        }
        const milliseconds = await this.#time(candidate, best.milliseconds);
        notes.push(`${name} ${(milliseconds * 1000).toFixed(1)} µs`);
        if (forced !== undefined && name.includes(forced)) return { variant: name, notes };
        if (milliseconds < best.milliseconds) best = { name, milliseconds };
      }
      return { variant: best.name, notes };
    } finally {
      for (const { compiled } of candidates) compiled.dispose();
      for (const buffer of buffers ?? []) this.#backend.memory.free(buffer);
    }
  }

  async #compile(
    variant: Variant,
    dispatches: readonly Dispatch[],
    cache: Surroundings["cache"],
  ): Promise<Candidate> {
    const { device, memory, pipelines, arena } = this.#backend;
    const compiled = await CompiledDispatches.compile(device, memory, pipelines, dispatches);
    const around = { arena: arena.reserve(this.#arenaBytes), cache };
    return { variant, compiled, groups: compiled.bind(around) };
  }

  /** Keys and values of one layer, which stand for those of all. */
  #cacheBuffers({ cacheBytes }: Choice): GPUBuffer[] | undefined {
    if (cacheBytes === undefined) return undefined;
    const { memory, device } = this.#backend;
    const make = (what: string) => {
      const buffer = memory.allocate(`${what} on trial`, cacheBytes, usage.storage | usage.copyTarget);
      fill(device.gpu.queue, buffer, cacheBytes);
      return buffer;
    };
    return [make("keys"), make("values")];
  }

  #prepare({ numbers = [] }: Choice): void {
    const { device, arena } = this.#backend;
    const { queue } = device.gpu;
    const buffer = arena.reserve(this.#arenaBytes);
    fill(queue, buffer, this.#arenaBytes);
    for (const [place, values] of numbers) {
      if (place.in === "arena") queue.writeBuffer(buffer, place.offset, values);
    }
  }

  /** What a variant writes; zeros where it writes nothing. */
  async #results({ compiled, groups }: Candidate, { output, isHalf }: Choice): Promise<Float32Array> {
    if (output.in !== "arena") throw new Error("an output that is not in the arena");
    const { device, arena } = this.#backend;
    const buffer = arena.reserve(this.#arenaBytes);
    const encoder = device.gpu.createCommandEncoder();
    encoder.clearBuffer(buffer, output.offset, output.bytes);
    const pass = encoder.beginComputePass();
    compiled.encode(pass, groups);
    pass.end();
    device.gpu.queue.submit([encoder.finish()]);
    const size = Math.min(output.bytes, comparedBytes);
    const parts =
      output.bytes > size ? [output.offset, output.offset + output.bytes - size] : [output.offset];
    const read = await Promise.all(parts.map((offset) => this.#backend.runner.read(buffer, size, offset)));
    const all = new Uint8Array(parts.length * size);
    for (const [i, bytes] of read.entries()) all.set(new Uint8Array(bytes), i * size);
    return widen(isHalf ? "F16" : "F32", all);
  }

  /** Milliseconds of one run: the median of several measurements. */
  async #time(candidate: Candidate, best: number): Promise<number> {
    await this.#warmUp(candidate);
    let once = await this.#run(candidate, 1);
    const isSlow = () => once > slow || once > 8 * best + 1;
    // This computer may have been late, not the device.
    if (isSlow() && once < 2 * slow) once = Math.min(once, await this.#run(candidate, 1));
    if (isSlow()) return once;
    if (this.#clock) return this.#clock.milliseconds(candidate);
    const times = Math.max(1, Math.min(50, Math.ceil(enough / Math.max(once, 0.01))));
    const runs: number[] = [];
    for (let i = 0; i < 5; i++) runs.push((await this.#run(candidate, times)) / times);
    return runs.sort((a, b) => a - b)[2];
  }

  async #warmUp(candidate: Candidate): Promise<void> {
    if (this.#warm) return;
    this.#warm = true;
    const since = performance.now();
    let times = 1;
    while (performance.now() - since < warmUp.all) {
      if ((await this.#run(candidate, times)) < warmUp.piece) times *= 2;
    }
  }

  /** Milliseconds of so many runs in one pass, by the computer's clock. */
  async #run({ compiled, groups }: Candidate, times: number): Promise<number> {
    const { device } = this.#backend;
    const encoder = device.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < times; i++) compiled.encode(pass, groups);
    pass.end();
    const since = performance.now();
    device.gpu.queue.submit([encoder.finish()]);
    await device.gpu.queue.onSubmittedWorkDone();
    return performance.now() - since;
  }
}

/** The same buffer whichever layer is asked for. */
function everyLayer(buffer: GPUBuffer): readonly GPUBuffer[] {
  return new Proxy([buffer], { get: () => buffer });
}

/** Random numbers over a buffer: f16 in pairs, which are f32 of the same size too. */
function fill(queue: GPUQueue, buffer: GPUBuffer, bytes: number): void {
  const numbers = randomHalves();
  for (let offset = 0; offset < bytes; offset += numbers.byteLength) {
    const size = Math.min(numbers.byteLength, bytes - offset);
    queue.writeBuffer(buffer, offset, numbers, 0, size / 2);
  }
}
