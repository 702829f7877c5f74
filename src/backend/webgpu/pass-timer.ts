import type { WebGpuDevice } from "./device.ts";
import { type DeviceMemory, usage } from "./memory.ts";

/** Timestamps around compute passes. */
export class PassTimer {
  /** That a reading takes. */
  readonly bytes: number;
  readonly #memory: DeviceMemory;
  readonly #stamps: number;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;

  constructor(device: WebGpuDevice, memory: DeviceMemory, passes: number) {
    this.#memory = memory;
    this.#stamps = passes * 2;
    this.bytes = this.#stamps * 8;
    this.#queries = device.gpu.createQuerySet({ type: "timestamp", count: this.#stamps });
    this.#resolved = memory.allocate("timestamps", this.bytes, usage.queryResolve | usage.copySource);
  }

  passOf(pass: number): GPUComputePassDescriptor {
    return {
      timestampWrites: {
        querySet: this.#queries,
        beginningOfPassWriteIndex: pass * 2,
        endOfPassWriteIndex: pass * 2 + 1,
      },
    };
  }

  /** Brings a reading to `offset` of a buffer: a multiple of 8. */
  resolve(encoder: GPUCommandEncoder, target: GPUBuffer, offset = 0): void {
    encoder.resolveQuerySet(this.#queries, 0, this.#stamps, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, target, offset, this.bytes);
  }

  /** Milliseconds of each pass, by a reading. */
  milliseconds(reading: ArrayBuffer, offset = 0): number[] {
    const stamps = new BigUint64Array(reading, offset, this.#stamps);
    return Array.from(
      { length: this.#stamps / 2 },
      (_, i) => Number(stamps[i * 2 + 1] - stamps[i * 2]) / 1e6,
    );
  }

  dispose(): void {
    this.#queries.destroy();
    this.#memory.free(this.#resolved);
  }
}
