import type { Storage } from "../../graph/tensor.ts";
import type { DeviceTensor } from "../backend.ts";
import { storageBytes } from "./layout.ts";
import { alignUp, type ShortLived } from "./memory.ts";
import type { KernelRunner } from "./once.ts";

/** An output that stays on the device, in a buffer of its own. */
export class WebGpuTensor implements DeviceTensor {
  readonly rows: number;
  readonly columns: number;
  readonly buffer: GPUBuffer;
  /** How often its run was done: again when the first had rounded a number away. */
  version = 0;
  /** Resolved when its values are final. */
  settled: Promise<unknown> = Promise.resolve();
  readonly #storage: Storage;
  readonly #buffers: ShortLived;
  readonly #runner: KernelRunner;
  #holders = 1;

  constructor(storage: Storage, buffers: ShortLived, runner: KernelRunner) {
    this.rows = storage.rows;
    this.columns = storage.columns;
    this.#storage = storage;
    this.#buffers = buffers;
    this.#runner = runner;
    this.buffer = buffers.take(alignUp(storageBytes(storage), 4));
  }

  get bytes(): number {
    return this.buffer.size;
  }

  async read(): Promise<Float32Array | Uint32Array> {
    this.hold();
    try {
      await this.settled;
      const bytes = await this.#runner.read(this.buffer, storageBytes(this.#storage));
      return this.#storage.type === "u32" ? new Uint32Array(bytes) : new Float32Array(bytes);
    } finally {
      this.letGo();
    }
  }

  hold(): void {
    if (this.#holders === 0) throw new Error("an output that was freed");
    this.#holders++;
  }

  letGo(): void {
    if (this.#holders === 0) throw new Error("an output that was freed already");
    if (--this.#holders === 0) this.#buffers.giveBack(this.buffer);
  }
}
