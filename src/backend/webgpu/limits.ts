import type { LimitsProbe, ProductKind } from "../cpu/limits.ts";
import type { WebGpuBackend } from "./backend.ts";
import type { Kernel, Workgroups } from "./kernel.ts";
import {
  fmaLimitKernel,
  fmaSteps,
  fmaSums,
  limitWorkgroups,
  matrixLimitKernel,
  matrixSteps,
  matrixSums,
  readLimitKernel,
} from "./kernels/limits.wgsl.ts";
import { usage } from "./memory.ts";
import { KernelRunner } from "./once.ts";

/** Milliseconds of a measurement, and how often it is made: the best counts. */
const enough = 20;
const passes = 4;
const workgroups: Workgroups = [limitWorkgroups, 1, 1];

/** What a WebGPU device can do at most: 16-bit products are those of its matrix units. */
export class WebGpuLimits implements LimitsProbe {
  readonly #backend: WebGpuBackend;

  constructor(backend: WebGpuBackend) {
    this.#backend = backend;
  }

  async readRate(bytes: number): Promise<number> {
    const { device, memory } = this.#backend;
    const most = device.isSoftware ? 2 ** 26 : 2 ** 30;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    const size = Math.floor(Math.min(bytes, most, maxBufferSize, maxStorageBufferBindingSize) / 256) * 256;
    const buffer = memory.allocate("read", size, usage.storage | usage.copyTarget);
    try {
      const milliseconds = await this.#time(readLimitKernel(), [buffer], [size / 16]);
      return (size / milliseconds) * 1000;
    } finally {
      memory.free(buffer);
    }
  }

  async productRate(kind: ProductKind): Promise<number> {
    if (kind === "f32") {
      const milliseconds = await this.#time(fmaLimitKernel(), [], [0]);
      return ((limitWorkgroups * 256 * fmaSteps * fmaSums * 8) / milliseconds) * 1000;
    }
    if (kind === "int8" || !this.#backend.device.hasMatrixUnits) return 0;
    const milliseconds = await this.#time(matrixLimitKernel(), [], [0]);
    return ((limitWorkgroups * 8 * matrixSteps * matrixSums * 2 * 16 ** 3) / milliseconds) * 1000;
  }

  /** Milliseconds of one dispatch: the best of several runs of many. */
  async #time(kernel: Kernel, buffers: readonly GPUBuffer[], sizes: readonly number[]): Promise<number> {
    const { device, memory, pipelines } = this.#backend;
    const runner = new KernelRunner(device, memory, pipelines);
    const result = memory.allocate("result", 2 ** 14, usage.storage);
    const bindings = [...buffers, result].map((buffer) => ({ buffer }));
    try {
      let times = 1;
      let best = Infinity;
      for (let pass = 0; pass < passes; ) {
        const since = performance.now();
        await runner.run(kernel, bindings, sizes, workgroups, times);
        await device.gpu.queue.onSubmittedWorkDone();
        const took = performance.now() - since;
        if (took < enough) times *= 2;
        else {
          best = Math.min(best, took / times);
          pass++;
        }
      }
      return best;
    } catch (cause) {
      throw device.explain(cause);
    } finally {
      memory.free(result);
    }
  }
}
