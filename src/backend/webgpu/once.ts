import { askSeldom } from "./ask-seldom.ts";
import type { WebGpuDevice } from "./device.ts";
import type { Kernel, Workgroups } from "./kernel.ts";
import { alignUp, type DeviceMemory, usage } from "./memory.ts";
import type { Pipelines } from "./pipelines.ts";

/** Runs single kernels outside of programs: at load. */
export class KernelRunner {
  readonly #device: WebGpuDevice;
  readonly #memory: DeviceMemory;
  readonly #pipelines: Pipelines;

  constructor(device: WebGpuDevice, memory: DeviceMemory, pipelines: Pipelines) {
    this.#device = device;
    this.#memory = memory;
    this.#pipelines = pipelines;
  }

  /** Submits a dispatch, `times` over; `sizes` are the words of its uniform. */
  async run(
    kernel: Kernel,
    bindings: readonly GPUBufferBinding[],
    sizes: readonly number[],
    workgroups: Workgroups,
    times = 1,
  ): Promise<void> {
    const { pipeline, layout } = await this.#pipelines.get(kernel);
    const { gpu } = this.#device;
    const words = new Uint32Array(alignUp(sizes.length * 4, 16) / 4);
    words.set(sizes);
    const uniform = this.#memory.allocate("sizes", words.byteLength, usage.uniform | usage.copyTarget);
    gpu.queue.writeBuffer(uniform, 0, words);
    const entries = [...bindings, { buffer: uniform }].map((resource, binding) => ({ binding, resource }));
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, gpu.createBindGroup({ layout, entries }));
    for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...workgroups);
    pass.end();
    gpu.queue.submit([encoder.finish()]);
    this.#memory.free(uniform); // the device still has it until the dispatch is done
  }

  /** Bytes of a buffer. */
  async read(buffer: GPUBuffer, bytes = buffer.size, offset = 0): Promise<ArrayBuffer> {
    const { gpu } = this.#device;
    const target = this.#memory.allocate("read", bytes, usage.mapRead | usage.copyTarget);
    try {
      const encoder = gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, offset, target, 0, bytes);
      gpu.queue.submit([encoder.finish()]);
      await askSeldom(() => target.mapAsync(1));
      return target.getMappedRange().slice(0);
    } catch (cause) {
      throw this.#device.explain(cause);
    } finally {
      this.#memory.free(target);
    }
  }
}
