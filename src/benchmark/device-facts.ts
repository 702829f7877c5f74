import type { Backend } from "../backend/backend.ts";
import { CpuBackend } from "../backend/cpu/backend.ts";
import type { LimitsProbe } from "../backend/cpu/limits.ts";
import { WebGpuBackend } from "../backend/webgpu/backend.ts";
import { WebGpuLimits } from "../backend/webgpu/limits.ts";
import type { ResolvedBenchmarkOptions } from "./options.ts";

/** What a benchmark says of the device, and what it needs to know to count. */
export interface DeviceFacts {
  /** What it can do at most, where that can be measured. */
  readonly probe: LimitsProbe | undefined;
  /** Which kernels, or whose device. */
  readonly kernels: string | null;
  readonly lanes: number;
  /** Bytes of one value of a key or value in the cache. */
  readonly cacheValueBytes: number;
}

export function factsOf(backend: Backend, options: ResolvedBenchmarkOptions): DeviceFacts {
  if (backend instanceof CpuBackend) {
    const { machine } = backend;
    return {
      probe: machine.limits,
      kernels: `${machine.kind} ${machine.variant}`,
      lanes: machine.lanes,
      cacheValueBytes: options.precision === "fast" ? 2 : 4,
    };
  }
  if (backend instanceof WebGpuBackend) {
    backend.timing = options.roofline ? "operations" : "runs";
    const half = options.precision === "fast" && backend.device.features.has("shader-f16");
    return {
      probe: new WebGpuLimits(backend),
      kernels: backend.device.name,
      lanes: 1,
      cacheValueBytes: half ? 2 : 4,
    };
  }
  return { probe: undefined, kernels: null, lanes: 1, cacheValueBytes: 4 };
}
