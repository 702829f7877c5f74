import { DeviceError } from "../../errors.ts";
import type { WebGpuDevice } from "./device.ts";
import type { Kernel, KernelBinding } from "./kernel.ts";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const bufferTypes: Readonly<Record<KernelBinding, GPUBufferBindingType>> = {
  read: "read-only-storage",
  write: "storage",
  uniform: "uniform",
};
/** `GPUShaderStage.COMPUTE`. */
const compute = 4;

/** Kernels compiled for a device, each once. */
export class Pipelines {
  readonly #device: WebGpuDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #compiled = new Map<string, Promise<Pipeline>>();

  constructor(device: WebGpuDevice) {
    this.#device = device;
  }

  /** What a device lacks of what a kernel needs; nothing where it runs. */
  lacking(kernel: Kernel): string | undefined {
    const { features, info, limits } = this.#device;
    const missing = kernel.features.find((feature) => !features.has(feature));
    if (missing) return missing;
    const { subgroupSize } = kernel;
    if (subgroupSize && (info.subgroupMinSize !== subgroupSize || info.subgroupMaxSize !== subgroupSize)) {
      return `subgroups of ${subgroupSize}`;
    }
    const storage = kernel.bindings.filter((binding) => binding !== "uniform").length;
    return storage > limits.maxStorageBuffersPerShaderStage ? `${storage} storage buffers` : undefined;
  }

  /** @throws DeviceError when the device's compiler refuses the kernel */
  get(kernel: Kernel): Promise<Pipeline> {
    let pipeline = this.#compiled.get(kernel.key);
    if (!pipeline) {
      pipeline = this.#compile(kernel);
      pipeline.catch(() => this.#compiled.delete(kernel.key));
      this.#compiled.set(kernel.key, pipeline);
    }
    return pipeline;
  }

  async #compile(kernel: Kernel): Promise<Pipeline> {
    const { gpu } = this.#device;
    const layout = this.#layout(kernel.bindings);
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ label: kernel.key, code: kernel.code });
    const faulty = gpu.popErrorScope();
    try {
      const fault = await faulty;
      if (fault) throw fault;
      const pipeline = await gpu.createComputePipelineAsync({
        label: kernel.key,
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      });
      return { pipeline, layout };
    } catch (cause) {
      this.#device.check();
      throw new DeviceError("webgpu", `kernel ${kernel.key}: ${(cause as Error).message}`, { cause });
    }
  }

  #layout(bindings: readonly KernelBinding[]): GPUBindGroupLayout {
    const key = bindings.join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      const entries = bindings.map((binding, number) => ({
        binding: number,
        visibility: compute,
        buffer: { type: bufferTypes[binding] },
      }));
      layout = this.#device.gpu.createBindGroupLayout({ entries });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}
