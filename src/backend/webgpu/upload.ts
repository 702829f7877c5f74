import type { WebGpuDevice } from "./device.ts";
import { alignUp, type DeviceMemory, usage } from "./memory.ts";

/** Bytes of a staging buffer. */
export const stagingBytes = 2 ** 25;
/** Fewer bytes than these are not worth waiting for a staging buffer. */
const smallBytes = 2 ** 16;
/** While one is being filled, the others are on their way. */
const stagingBuffers = 3;
/** `GPUMapMode.WRITE`. */
const mapWrite = 2;

/** Brings bytes into buffers of the device through a few mapped ones, never more than those at a time. */
export class Uploader {
  readonly #device: WebGpuDevice;
  readonly #memory: DeviceMemory;
  readonly #free: { buffer: GPUBuffer; ready: Promise<unknown> }[] = [];
  #made = 0;

  constructor(device: WebGpuDevice, memory: DeviceMemory) {
    this.#device = device;
    this.#memory = memory;
  }

  /**
   * Writes rows of `rowBytes` at an offset, `paddedRowBytes` apart with zeros between.
   * @param bytes at most `rowsFitting(paddedRowBytes)` rows
   */
  async write(
    target: GPUBuffer,
    offset: number,
    bytes: Uint8Array,
    rowBytes = bytes.length,
    paddedRowBytes = alignUp(rowBytes, 4),
  ): Promise<void> {
    const rows = bytes.length / rowBytes;
    const size = rows * paddedRowBytes;
    const { gpu } = this.#device;
    if (size <= smallBytes && rowBytes === paddedRowBytes) {
      gpu.queue.writeBuffer(target, offset, bytes as Uint8Array<ArrayBuffer>);
      return;
    }
    const staging = await this.#take();
    try {
      const view = new Uint8Array(staging.getMappedRange(0, size));
      if (paddedRowBytes === rowBytes) view.set(bytes);
      else {
        view.fill(0);
        for (let row = 0; row < rows; row++) {
          view.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), row * paddedRowBytes);
        }
      }
      staging.unmap();
      const encoder = gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(staging, 0, target, offset, size);
      gpu.queue.submit([encoder.finish()]);
    } catch (cause) {
      throw this.#device.explain(cause);
    }
    const ready = staging.mapAsync(mapWrite);
    ready.catch(() => undefined);
    this.#free.push({ buffer: staging, ready });
  }

  dispose(): void {
    for (const { buffer } of this.#free.splice(0)) this.#memory.free(buffer);
  }

  async #take(): Promise<GPUBuffer> {
    if (this.#made < stagingBuffers) {
      this.#made++;
      const flags = usage.mapWrite | usage.copySource;
      return this.#memory.allocate("staging", stagingBytes, flags, true);
    }
    const { buffer, ready } = this.#free.shift()!;
    try {
      await ready;
    } catch (cause) {
      throw this.#device.explain(cause);
    }
    return buffer;
  }
}

/** Rows that one `write` takes. */
export function rowsFitting(paddedRowBytes: number): number {
  return Math.max(1, Math.floor(stagingBytes / paddedRowBytes));
}
