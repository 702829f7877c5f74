import { roundToBf16, widen } from "../../checkpoint/dtypes.ts";
import type { DType, TensorStore } from "../../checkpoint/tensor-store.ts";
import type { Weight } from "../../graph/tensor.ts";
import type { LoadedWeights } from "../backend.ts";

export { roundToBf16 };

/** Rows of one dtype, as they stand in the checkpoint. */
interface Block {
  readonly firstRow: number;
  readonly rows: number;
  readonly dtype: DType;
  readonly bytes: Uint8Array;
}

/**
 * A parameter as the checkpoint has it: 16-bit values stay 16-bit (they may be views of a mapped file) and are widened
 * a few rows at a time when they are used.
 */
export class ReferenceWeight {
  readonly rows: number;
  readonly columns: number;
  readonly #blocks: Block[];
  readonly #values: Float32Array | undefined;

  private constructor(weight: Weight, blocks: Block[], values: Float32Array | undefined) {
    this.rows = weight.rows;
    this.columns = weight.columns;
    this.#blocks = blocks;
    this.#values = values;
  }

  static async load(weight: Weight, store: TensorStore): Promise<ReferenceWeight> {
    if ("values" in weight.source) return new ReferenceWeight(weight, [], weight.source.values);
    const blocks: Block[] = [];
    let firstRow = 0;
    for (const slice of weight.source.slices) {
      const bytes = await store.readRows(slice.tensor, slice.firstRow, slice.rows);
      const { dtype } = store.tensors.get(slice.tensor)!;
      blocks.push({ firstRow, rows: slice.rows, dtype, bytes });
      firstRow += slice.rows;
    }
    return new ReferenceWeight(weight, blocks, undefined);
  }

  /** Rows `first … first + count - 1` in f32, `[count, columns]`. May be a view: never written to. */
  floats(first = 0, count = this.rows): Float32Array {
    const { columns } = this;
    if (this.#values) return this.#values.subarray(first * columns, (first + count) * columns);
    const wanted = new Float32Array(count * columns);
    for (const { firstRow, rows, dtype, bytes } of this.#blocks) {
      const from = Math.max(first, firstRow);
      const to = Math.min(first + count, firstRow + rows);
      if (from >= to) continue;
      const width = bytes.length / rows;
      const part = bytes.subarray((from - firstRow) * width, (to - firstRow) * width);
      wanted.set(widen(dtype, part), (from - first) * columns);
    }
    return wanted;
  }

  get bytes(): number {
    return (this.#values?.byteLength ?? 0) + this.#blocks.reduce((sum, block) => sum + block.bytes.length, 0);
  }
}

/** The weights of the plain backend, by what recorded them. */
export class ReferenceWeights implements LoadedWeights {
  readonly #weights: Map<Weight, ReferenceWeight>;
  readonly bytes: number;

  constructor(weights: Map<Weight, ReferenceWeight>) {
    this.#weights = weights;
    this.bytes = [...weights.values()].reduce((sum, weight) => sum + weight.bytes, 0);
  }

  get(weight: Weight): ReferenceWeight {
    const loaded = this.#weights.get(weight);
    if (!loaded) throw new Error(`weight ${weight.name} was not loaded`);
    return loaded;
  }

  dispose(): void {
    this.#weights.clear();
  }
}
