/**
 * A compute shader made ready to be compiled. All tensors of a run lie in one buffer, so what a kernel reads of them is
 * bound as "write" (WebGPU forbids one buffer as both read-only and writable in a dispatch); weights are "read".
 * Sizes that change with every prompt come in the uniform, which is the last binding; sizes of the model are compiled in.
 */
export interface Kernel {
  /** Same key, same code: what the pipeline cache and the remembered choices go by. */
  readonly key: string;
  /** WGSL, entry point `main`. */
  readonly code: string;
  /** Group 0, in order of binding numbers. "read": read-only storage; "write": read_write storage. */
  readonly bindings: readonly KernelBinding[];
  /** What the device must have been made with, "chromium-experimental-subgroup-matrix" among them. */
  readonly features: readonly GPUFeatureName[];
  /** Set where the kernel is right only if every subgroup of the device has this size. */
  readonly subgroupSize?: number;
}

export type KernelBinding = "read" | "write" | "uniform";

/** Workgroups along x, y and z. */
export type Workgroups = readonly [x: number, y: number, z: number];

/** Most workgroups along one dimension that WebGPU promises. */
export const mostWorkgroups = 65535;

/**
 * So many workgroups in a row, folded into y where x alone can not hold them. There may be a few more than asked for:
 * kernels leave when `workgroup.x + workgroup.y * count.x` is beyond.
 */
export function foldWorkgroups(count: number, z = 1): Workgroups {
  const y = Math.ceil(count / mostWorkgroups);
  return [Math.ceil(count / y), y, z];
}
