import type { TensorStore } from "../../checkpoint/tensor-store.ts";
import { MemoryError } from "../../errors.ts";
import type { Graph } from "../../graph/recorder.ts";
import type { CacheLayout, Weight } from "../../graph/tensor.ts";
import type { OnProgress } from "../../progress.ts";
import { OneAtATime } from "../../turn.ts";
import type { Backend, LoadedWeights, Precision, PrepareOptions, Program } from "../backend.ts";
import { askSeldom } from "./ask-seldom.ts";
import { cacheType, pageBytes, WebGpuCache } from "./cache.ts";
import { Choices } from "./choices.ts";
import { narrowToHalf, quantiseWeight } from "./convert.ts";
import type { WebGpuDevice } from "./device.ts";
import { Arena, DeviceMemory, ShortLived, usage } from "./memory.ts";
import { KernelRunner } from "./once.ts";
import { Patience } from "./patience.ts";
import { Pipelines } from "./pipelines.ts";
import { WebGpuProgram } from "./program.ts";
import { Uploader } from "./upload.ts";
import { type HeldWeights, planBytes } from "./weight-plan.ts";
import { fillWeight, planWeights, WebGpuWeights } from "./weights.ts";

/** A graphics card, or whatever else WebGPU gives. */
export class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly tilesAtOnce: number;
  readonly tokensAtOnce: number;
  readonly queues = true;
  readonly device: WebGpuDevice;
  readonly precision: Precision;
  readonly memory: DeviceMemory;
  readonly pipelines: Pipelines;
  readonly arena: Arena;
  /** Of outputs that stay. */
  readonly outputs: ShortLived;
  readonly choices: Choices;
  readonly runner: KernelRunner;
  /** Whose turn it is to submit: a run submits all its parts before the next does. */
  readonly submissions = new OneAtATime();
  readonly patience = new Patience();
  /** What programs made from now on note, where the device can say: both make them a little slower. */
  timing: "none" | "runs" | "operations" = "none";
  readonly #held: HeldWeights;

  constructor(device: WebGpuDevice, precision: Precision, held: HeldWeights = "checkpoint") {
    this.device = device;
    // Kernels see an activation as one range of a buffer, which on small devices is not large.
    const small = device.isSoftware || device.limits.maxStorageBufferBindingSize < 2 ** 29;
    this.tilesAtOnce = small ? 1 : 8;
    this.tokensAtOnce = small ? 512 : 2048;
    this.precision = precision;
    this.#held = held;
    this.memory = new DeviceMemory(device);
    this.pipelines = new Pipelines(device);
    this.arena = new Arena(this.memory);
    this.outputs = new ShortLived(this.memory, "output", usage.copySource | usage.copyTarget);
    this.choices = new Choices(device);
    this.runner = new KernelRunner(device, this.memory, this.pipelines);
  }

  async loadWeights(
    weights: readonly Weight[],
    store: TensorStore,
    { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress } = {},
  ): Promise<LoadedWeights> {
    const loaded = await this.#allocate(weights, store);
    const uploader = new Uploader(this.device, this.memory);
    try {
      for (const [i, weight] of weights.entries()) {
        signal?.throwIfAborted();
        const placed = loaded.get(weight);
        if (placed.parts[0].scales) {
          await quantiseWeight(
            weight,
            placed,
            store,
            { memory: this.memory, uploader, runner: this.runner },
            signal,
          );
        } else await fillWeight(weight, placed, store, uploader, signal);
        onProgress?.({ phase: "load", file: weight.name, loaded: i + 1, total: weights.length });
      }
      if (this.precision === "fast" && this.device.hasMatrixUnits) {
        await narrowToHalf(loaded, this.memory, this.runner);
      }
      await askSeldom(() => this.device.gpu.queue.onSubmittedWorkDone());
      this.device.check();
    } catch (error) {
      loaded.dispose();
      throw error;
    } finally {
      uploader.dispose();
    }
    return loaded;
  }

  /** A layer's keys are one range of a buffer. */
  largestCache(layout: CacheLayout): number {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const bytes = pageBytes(layout, cacheType(this.device, this.precision, layout));
    return Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / bytes);
  }

  createCache(layout: CacheLayout, pages: number): WebGpuCache {
    return new WebGpuCache(
      this.device,
      this.memory,
      layout,
      pages,
      cacheType(this.device, this.precision, layout),
      this.submissions,
    );
  }

  prepare(graph: Graph, weights: LoadedWeights, options?: PrepareOptions): Promise<Program> {
    if (!(weights instanceof WebGpuWeights)) throw new TypeError("these weights belong to another backend");
    return WebGpuProgram.prepare(graph, weights, this, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.device.destroy();
  }

  #plans(weights: readonly Weight[], store: TensorStore, held: HeldWeights) {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const bindingLimit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    return planWeights(weights, store, { held, precision: this.precision, bindingLimit });
  }

  /**
   * Takes all memory that weights need, before anything is read.
   * @throws MemoryError naming the weights that would fit, when the device has not so much
   */
  async #allocate(weights: readonly Weight[], store: TensorStore): Promise<WebGpuWeights> {
    const plans = this.#plans(weights, store, this.#held);
    const needed = planBytes(plans.values());
    const fitsIn = (free: number) => {
      const smaller = (["int8", "int4"] as const).filter(
        (held) => planBytes(this.#plans(weights, store, held).values()) <= Math.min(free, needed - 1),
      );
      const fitting = smaller.map((held) => `weights: "${held}"`).join(" or ");
      return fitting ? `load with ${fitting}` : 'take a smaller model, or device "cpu"';
    };
    const free = await this.device.freeMemory();
    if (needed > free) throw new MemoryError(needed, free, fitsIn(free));
    const loaded = new WebGpuWeights(this.memory);
    const { gpu } = this.device;
    gpu.pushErrorScope("out-of-memory");
    for (const [weight, plan] of plans) loaded.allocate(weight, plan);
    if ((await gpu.popErrorScope()) === null) return loaded;
    loaded.dispose();
    throw new MemoryError(needed, needed - 1, fitsIn(needed - 1));
  }
}
