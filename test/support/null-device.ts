import { create, globals } from "webgpu";
import type { Kernel } from "../../src/backend/webgpu/kernel.ts";

/** Collected, it would abort the process. */
let gpu: GPU | undefined;
let device: Promise<GPUDevice> | undefined;

/**
 * A device that compiles and checks everything, with every feature on, and computes nothing: it needs no graphics
 * driver. Buffers read as zeros.
 */
export function nullDevice(): Promise<GPUDevice> {
  device ??= openNullDevice();
  return device;
}

async function openNullDevice(): Promise<GPUDevice> {
  Object.assign(globalThis, globals);
  gpu ??= create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const adapter = (await gpu.requestAdapter())!;
  const limits = adapter.limits;
  return adapter.requestDevice({
    requiredFeatures: [...adapter.features] as GPUFeatureName[],
    requiredLimits: {
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
  });
}

/** What is wrong with a kernel: its WGSL, or bindings that are not what it declares. Empty when it compiles. */
export async function faultsOf(kernel: Kernel): Promise<string[]> {
  const device = await nullDevice();
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: kernel.code });
  const { messages } = await module.getCompilationInfo();
  const types = { read: "read-only-storage", write: "storage", uniform: "uniform" } as const;
  const layout = device.createBindGroupLayout({
    entries: kernel.bindings.map((binding, number) => ({
      binding: number,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: types[binding] },
    })),
  });
  device.createComputePipeline({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: "main" },
  });
  const error = await device.popErrorScope();
  const faults = messages
    .filter(({ type }) => type === "error")
    .map((m) => `line ${m.lineNum}: ${m.message}`);
  return error ? [...faults, error.message] : faults;
}
