import type { CacheLayout } from "../../graph/tensor.ts";
import type { OneAtATime } from "../../turn.ts";
import type { KeyValueCache } from "../backend.ts";
import type { WebGpuDevice } from "./device.ts";
import { type DeviceMemory, usage } from "./memory.ts";

/** How keys and values are kept: f16 two a u32, or f32. */
export type CacheType = "f16" | "f32";

/** Keys and values in two buffers a layer, each `[pages * pageSize, keyValueHeads * headSize]`. */
export class WebGpuCache implements KeyValueCache {
  readonly layout: CacheLayout;
  readonly pages: number;
  readonly type: CacheType;
  readonly keys: readonly GPUBuffer[];
  readonly values: readonly GPUBuffer[];
  readonly #device: WebGpuDevice;
  readonly #memory: DeviceMemory;
  readonly #submissions: OneAtATime;
  readonly #pageBytes: number;
  /** A copy inside one buffer goes by way of this. */
  #between: GPUBuffer | undefined;

  constructor(
    device: WebGpuDevice,
    memory: DeviceMemory,
    layout: CacheLayout,
    pages: number,
    type: CacheType,
    submissions: OneAtATime,
  ) {
    this.layout = layout;
    this.pages = pages;
    this.type = type;
    this.#device = device;
    this.#memory = memory;
    this.#submissions = submissions;
    this.#pageBytes = pageBytes(layout, type);
    const flags = usage.storage | usage.copySource | usage.copyTarget;
    const buffers = (what: string) =>
      Array.from({ length: layout.layers }, (_, layer) =>
        memory.allocate(`${what} ${layer}`, this.#pageBytes * pages, flags),
      );
    this.keys = buffers("keys");
    this.values = buffers("values");
  }

  copyPage(from: number, to: number): void {
    const bytes = this.#pageBytes;
    this.#between ??= this.#memory.allocate("page", bytes, usage.copySource | usage.copyTarget);
    const encoder = this.#device.gpu.createCommandEncoder();
    for (const buffer of [...this.keys, ...this.values]) {
      encoder.copyBufferToBuffer(buffer, from * bytes, this.#between, 0, bytes);
      encoder.copyBufferToBuffer(this.#between, 0, buffer, to * bytes, bytes);
    }
    const commands = encoder.finish();
    // After runs that have begun and are not submitted to their end.
    void this.#submissions.enter(async () => this.#device.gpu.queue.submit([commands]));
  }

  dispose(): void {
    for (const buffer of [...this.keys, ...this.values]) this.#memory.free(buffer);
    if (this.#between) this.#memory.free(this.#between);
    this.#between = undefined;
  }
}

/** Bytes of the keys, or of the values, of one page of one layer. */
export function pageBytes({ pageSize, keyValueHeads, headSize }: CacheLayout, type: CacheType): number {
  return pageSize * keyValueHeads * headSize * (type === "f16" ? 2 : 4);
}

/** f16 where numbers may be rounded, the device has 16-bit floats, and pairs of columns turn together. */
export function cacheType(device: WebGpuDevice, precision: "fast" | "f32", layout: CacheLayout): CacheType {
  const half = precision === "fast" && device.features.has("shader-f16") && layout.headSize % 4 === 0;
  return half ? "f16" : "f32";
}
