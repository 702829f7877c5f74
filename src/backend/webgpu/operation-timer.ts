import type { WebGpuDevice } from "./device.ts";
import { type DeviceMemory, usage } from "./memory.ts";

/** Timestamps around each operation of a program, which then has a compute pass of its own. */
export class OperationTimer {
  readonly #memory: DeviceMemory;
  readonly #count: number;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #readback: GPUBuffer;
  milliseconds: readonly number[] | undefined;

  constructor(device: WebGpuDevice, memory: DeviceMemory, operations: number) {
    this.#memory = memory;
    this.#count = operations * 2;
    this.#queries = device.gpu.createQuerySet({ type: "timestamp", count: this.#count });
    const bytes = this.#count * 8;
    this.#resolved = memory.allocate("timestamps", bytes, usage.queryResolve | usage.copySource);
    this.#readback = memory.allocate("timestamps read", bytes, usage.mapRead | usage.copyTarget);
  }

  passOf(operation: number): GPUComputePassDescriptor {
    return {
      timestampWrites: {
        querySet: this.#queries,
        beginningOfPassWriteIndex: operation * 2,
        endOfPassWriteIndex: operation * 2 + 1,
      },
    };
  }

  resolve(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.#queries, 0, this.#count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#readback, 0, this.#count * 8);
  }

  /** Reads the times of the run that was submitted last. */
  async read(): Promise<readonly number[]> {
    await this.#readback.mapAsync(1);
    const stamps = new BigUint64Array(this.#readback.getMappedRange());
    this.milliseconds = Array.from(
      { length: this.#count / 2 },
      (_, i) => Number(stamps[i * 2 + 1] - stamps[i * 2]) / 1e6,
    );
    this.#readback.unmap();
    return this.milliseconds;
  }

  dispose(): void {
    this.#queries.destroy();
    this.#memory.free(this.#resolved);
    this.#memory.free(this.#readback);
  }
}
