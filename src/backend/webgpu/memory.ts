import { MemoryError } from "../../errors.ts";
import type { WebGpuDevice } from "./device.ts";

/** `GPUBufferUsage`, which Node does not have as a global. */
export const usage = {
  mapRead: 1,
  mapWrite: 2,
  copySource: 4,
  copyTarget: 8,
  uniform: 64,
  storage: 128,
  queryResolve: 512,
} as const;

/** Offsets of bindings are multiples of this. */
export const bindingAlignment = 256;

export function alignUp(bytes: number, alignment = bindingAlignment): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** The only place where buffers are made: knows how many bytes are in use, and how many were at most. */
export class DeviceMemory {
  readonly #device: WebGpuDevice;
  #used = 0;
  #peak = 0;

  constructor(device: WebGpuDevice) {
    this.#device = device;
  }

  get usedBytes(): number {
    return this.#used;
  }

  get peakBytes(): number {
    return this.#peak;
  }

  /** A buffer of zeros. @throws MemoryError when it can not be had whatever else there is */
  allocate(label: string, bytes: number, flags: number, mapped = false): GPUBuffer {
    this.#device.check();
    const size = Math.max(alignUp(bytes, 4), 4);
    const limit = Math.min(
      this.#device.limits.maxBufferSize,
      (this.#device.settings.memory ?? Infinity) - this.#used,
    );
    if (size > limit) throw new MemoryError(size, Math.max(limit, 0), "load a smaller model or fewer tokens");
    const buffer = this.#device.gpu.createBuffer({ label, size, usage: flags, mappedAtCreation: mapped });
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    return buffer;
  }

  free(buffer: GPUBuffer): void {
    this.#used -= buffer.size;
    buffer.destroy();
  }
}

/**
 * Memory that all programs of a backend use one after another: as large as the largest needs. When it grows its buffer
 * is another, and `generation` tells.
 */
export class Arena {
  readonly #memory: DeviceMemory;
  #buffer: GPUBuffer | undefined;
  generation = 0;

  constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  get bytes(): number {
    return this.#buffer?.size ?? 0;
  }

  /** The buffer, of at least so many bytes. */
  reserve(bytes: number): GPUBuffer {
    if (this.#buffer && this.#buffer.size >= bytes) return this.#buffer;
    if (this.#buffer) this.#memory.free(this.#buffer);
    const flags = usage.storage | usage.copySource | usage.copyTarget;
    this.#buffer = this.#memory.allocate("activations", bytes, flags);
    this.generation++;
    return this.#buffer;
  }

  dispose(): void {
    if (this.#buffer) this.#memory.free(this.#buffer);
    this.#buffer = undefined;
  }
}
