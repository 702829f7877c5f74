import { Choices } from "./choices.ts";
import type { WebGpuDevice } from "./device.ts";

/** Why a feature that kernels would use is not there. */
const reasons: Readonly<Record<string, string>> = {
  "shader-f16":
    "the adapter or its driver has no 16-bit floats; weights and cache take the same room, products are slower",
  subgroups: "the adapter has no subgroups; sums go through workgroup memory",
  "chromium-experimental-subgroup-matrix":
    "no matrix units, or a browser that does not show them; products are slower",
  "timestamp-query": "the device has no clock to read; variants are timed from outside",
};

/** What a WebGPU device is, for people. */
export async function describeDevice(device: WebGpuDevice) {
  const { info, features, adapterFeatures, settings, limits, isSoftware } = device;
  const choices = new Choices(device);
  await choices.recall();
  const off = Object.entries(reasons)
    .filter(([feature]) => !features.has(feature))
    .map(([feature, reason]) => ({
      feature,
      why: settings.stock && adapterFeatures.has(feature) ? "INTERNVL_WEBGPU has it turned off" : reason,
    }));
  const { subgroupMinSize, subgroupMaxSize } = info;
  const sizes =
    subgroupMinSize === subgroupMaxSize ? subgroupMinSize : `${subgroupMinSize} to ${subgroupMaxSize}`;
  return {
    adapter: device.name,
    driver: info.description || "unknown",
    software: isSoftware,
    features: [...features].map((name) => (name === "subgroups" ? `subgroups of ${sizes}` : name)),
    off,
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    },
    /** Which kernels earlier runs found fastest here. */
    variants: Object.fromEntries([...choices.findings].map(([name, { variant }]) => [name, variant])),
  };
}
