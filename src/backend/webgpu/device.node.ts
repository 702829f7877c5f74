import { existsSync } from "node:fs";
import { DeviceError } from "../../errors.ts";
import type { WebGpuSettings } from "./settings.ts";

/** By their options. What Dawn's `create` gives must never be collected: that would abort the process. */
const instances = new Map<string, GPU>();

/**
 * Switched on in Dawn: matrix units, 16-bit floats on NVIDIA, and the memory model that matrix units ask for; and no
 * check of every index, which takes a third of a batch's rate: the kernels are ours alone, and stay inside.
 */
const features = "allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model,disable_robustness";

/**
 * WebGPU in Node, through the package `webgpu` (Dawn).
 * @throws DeviceError when the package is not installed, or does not load here
 */
export async function dawnGpu(settings: WebGpuSettings): Promise<GPU> {
  const options: string[] = [];
  if (!settings.stock) {
    options.push(`enable-dawn-features=${features}`);
    // Timestamps are otherwise rounded to a tenth of a millisecond, which is longer than most operations.
    options.push("disable-dawn-features=timestamp_quantization");
  }
  if (settings.nullDevice) options.push("backend=null");
  else if (process.platform === "linux") options.push("backend=vulkan");
  if (settings.adapter) options.push(`adapter=${settings.adapter}`);
  const key = options.join(" ");
  const known = instances.get(key);
  if (known) return known;
  const gpu = (await loadPackage()).create(options);
  instances.set(key, gpu);
  return gpu;
}

async function loadPackage(): Promise<{ create(options: string[]): GPU }> {
  try {
    return await import("webgpu");
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const problem = missing
      ? "the package webgpu is not installed: npm install webgpu@0.6.2"
      : `the package webgpu does not load here (${(cause as Error).message.split("\n")[0]})`;
    throw new DeviceError("webgpu", problem, { cause });
  }
}

/** Linux shows graphics cards as files; where none is, loading drivers would only bring their warnings. */
export function hasGraphicsDevice(): boolean {
  const files = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd"];
  return process.platform !== "linux" || files.some((file) => existsSync(file));
}
