import type { ModelDescription } from "../checkpoint/description.ts";
import { widen } from "../checkpoint/dtypes.ts";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import type { TensorInfo, TensorStore } from "../checkpoint/tensor-store.ts";
import { ShapeError } from "../errors.ts";

/** After how many values they come again: a prime, so that the rows of no tensor are equal. */
const period = 4_194_301;
/** Values that are given without a copy: 16 MiB, what a backend reads at a time. */
const longestView = 2 ** 23;

/**
 * A checkpoint of bf16 tensors with the right names and shapes and made-up values, in 24 MB of memory. Matrices hold
 * normally distributed values of deviation 1/64, which keeps activations near 1 at these widths; scales of norms and of
 * layers are 1. The same values each time.
 */
export class SyntheticStore implements TensorStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  #values: Uint16Array<ArrayBuffer> | undefined;

  constructor(description: ModelDescription) {
    const tensors = new Map<string, TensorInfo>();
    let end = 0;
    for (const [name, shape] of expectedTensors(description)) {
      const start = end;
      end += 2 * productOf(shape);
      tensors.set(name, { name, dtype: "BF16", shape, file: "made up", start, end });
    }
    this.tensors = tensors;
  }

  readRows(name: string, firstRow: number, rows: number): Promise<Uint8Array> {
    const { shape, start } = this.#find(name);
    if (!(firstRow >= 0 && rows >= 0 && firstRow + rows <= shape[0])) {
      throw new ShapeError(`${name}: rows ${firstRow} to ${firstRow + rows} of ${shape[0]}`);
    }
    const columns = productOf(shape.slice(1));
    const count = rows * columns;
    if (isScale(name, shape)) return Promise.resolve(bytesOf(new Uint16Array(count).fill(bf16One)));
    this.#values ??= randomValues(period + longestView);
    const first = (start / 2 + firstRow * columns) % period;
    if (count <= longestView) return Promise.resolve(bytesOf(this.#values.subarray(first, first + count)));
    const copy = new Uint16Array(count);
    for (let done = 0; done < count; done += longestView) {
      const from = (first + done) % period;
      copy.set(this.#values.subarray(from, from + Math.min(longestView, count - done)), done);
    }
    return Promise.resolve(bytesOf(copy));
  }

  async readFloats(name: string): Promise<Float32Array> {
    return widen("BF16", await this.readRows(name, 0, this.#find(name).shape[0]));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #find(name: string): TensorInfo {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new ShapeError(`${name}: there is no such tensor`);
    return tensor;
  }
}

const bf16One = 0x3f80;

/** Vectors that something is multiplied with: norms, layer scale. */
function isScale(name: string, shape: readonly number[]): boolean {
  return shape.length === 1 && !name.endsWith(".bias");
}

/** bf16 of deviation 1/64; the last `longestView` repeat the first, so that a run may cross the period's end. */
function randomValues(count: number): Uint16Array<ArrayBuffer> {
  // The sum of four bytes is nearly normal; its deviation is 147.8.
  const table = new Uint16Array(1021);
  const floats = Float32Array.from(table, (_, sum) => (sum - 510) / 147.8 / 64);
  new Uint32Array(floats.buffer).forEach((bits, sum) => {
    table[sum] = (bits + 0x8000) >>> 16;
  });
  const values = new Uint16Array(count);
  let state = 0x9e3779b9;
  for (let i = 0; i < Math.min(count, period); i++) {
    // xorshift32 (Marsaglia, 2003)
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = table[(state & 255) + ((state >>> 8) & 255) + ((state >>> 16) & 255) + (state >>> 24)];
  }
  for (let done = period; done < count; done += period) values.copyWithin(done, 0, count - done);
  return values;
}

function bytesOf(values: Uint16Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function productOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
