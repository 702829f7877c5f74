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

/** Bytes of buffers that are not worth making anew, and how many of a size wait to be used again. */
const small = { bytes: 4096, kept: 4 };

/**
 * Buffers of one kind that come and go with every step. Making a buffer takes as long as encoding some thirty dispatches:
 * small ones are used again.
 */
export class ShortLived {
  readonly #memory: DeviceMemory;
  readonly #label: string;
  readonly #flags: number;
  readonly #spare = new Map<number, GPUBuffer[]>();

  constructor(memory: DeviceMemory, label: string, flags: number) {
    this.#memory = memory;
    this.#label = label;
    this.#flags = flags;
  }

  /** @param bytes a multiple of 4 */
  take(bytes: number): GPUBuffer {
    return this.#spare.get(bytes)?.pop() ?? this.#memory.allocate(this.#label, bytes, this.#flags);
  }

  giveBack(buffer: GPUBuffer): void {
    const alike = this.#spare.get(buffer.size) ?? [];
    this.#spare.set(buffer.size, alike);
    if (buffer.size <= small.bytes && alike.length < small.kept) alike.push(buffer);
    else this.#memory.free(buffer);
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
