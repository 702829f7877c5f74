import { widen } from "../../checkpoint/dtypes.ts";
import type { DType, TensorStore } from "../../checkpoint/tensor-store.ts";
import type { Weight } from "../../graph/tensor.ts";
import type { LoadedWeights } from "../backend.ts";
import { type Block, type Machine, packSources, weightFormats } from "./machine.ts";

/** How weights of matrix products are held. */
export type WeightFormat = "checkpoint" | "int8" | "int4";

/** Bytes read from the checkpoint at a time. */
const readBytes = 2 ** 24;
/** `PANEL_ROWS` and the padding of columns in pack.h. */
const panelRows = 16;
const columnPadding = 64;
const int4Group = 32;

/** A parameter in the machine's memory, in the form its operation wants. */
interface Placed {
  readonly block: Block;
  readonly scales: Block | undefined;
  readonly format: number;
}

/** Bytes that weights take in memory, in a format. Needs no memory to say so. */
export function weightBytes(weights: readonly Weight[], store: TensorStore, quantised: WeightFormat): number {
  return weights.reduce((sum, weight) => {
    const { values, scales } = bytesOf(weight, formatOf(weight, store, quantised));
    return sum + values + scales;
  }, 0);
}

/** Parameters of the cpu backend: panels for products, rows for tables, f32 for vectors. */
export class CpuWeights implements LoadedWeights {
  readonly #machine: Machine;
  readonly #placed = new Map<Weight, Placed>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  get bytes(): number {
    let sum = 0;
    for (const { block, scales } of this.#placed.values()) sum += block.bytes + (scales?.bytes ?? 0);
    return sum;
  }

  /** Brings one parameter in, a bounded number of bytes at a time. */
  async load(
    weight: Weight,
    store: TensorStore,
    quantised: WeightFormat,
    signal?: AbortSignal,
  ): Promise<void> {
    const source = weight.source;
    if (weight.columns === 1 || "values" in source) {
      await this.#loadVector(weight, store);
      return;
    }
    const dtype = store.tensors.get(source.slices[0].tensor)!.dtype;
    const format = formatOf(weight, store, quantised);
    const sizes = bytesOf(weight, format);
    const block = this.#machine.allocate(sizes.values);
    const scales = sizes.scales > 0 ? this.#machine.allocate(sizes.scales) : undefined;
    this.#placed.set(weight, { block, scales, format });
    const rowBytes = weight.columns * (dtype === "F32" ? 4 : 2);
    const step = Math.max(1, Math.floor(readBytes / rowBytes));
    let row = 0;
    for (const slice of source.slices) {
      for (let first = 0; first < slice.rows; first += step) {
        signal?.throwIfAborted();
        const count = Math.min(step, slice.rows - first);
        const bytes = await store.readRows(slice.tensor, slice.firstRow + first, count);
        if (weight.use === "rows") {
          new Uint8Array(block.view(), block.viewOffset, block.bytes).set(bytes, row * rowBytes);
        } else {
          await this.#machine.pack(
            BigInt64Array.from(this.words(weight)),
            row,
            count,
            bytes,
            packSources[dtype],
          );
        }
        row += count;
      }
    }
  }

  /** Address, scales, rows, columns, format: `weight` of program.h. */
  words(weight: Weight): readonly bigint[] {
    const { block, scales, format } = this.#get(weight);
    return [
      block.address,
      scales?.address ?? 0n,
      BigInt(weight.rows),
      BigInt(weight.columns),
      BigInt(format),
    ];
  }

  /** The address of a vector or table in f32. */
  vector(weight: Weight): bigint {
    return this.#get(weight).block.address;
  }

  dispose(): void {
    for (const { block, scales } of this.#placed.values()) {
      this.#machine.free(block);
      if (scales) this.#machine.free(scales);
    }
    this.#placed.clear();
  }

  async #loadVector(weight: Weight, store: TensorStore): Promise<void> {
    const block = this.#machine.allocate(weight.rows * weight.columns * 4);
    this.#placed.set(weight, { block, scales: undefined, format: weightFormats.rowsF32 });
    const values = new Float32Array(block.view(), block.viewOffset, weight.rows * weight.columns);
    if ("values" in weight.source) {
      values.set(weight.source.values);
      return;
    }
    let row = 0;
    for (const { tensor, firstRow, rows } of weight.source.slices) {
      const bytes = await store.readRows(tensor, firstRow, rows);
      values.set(widen(store.tensors.get(tensor)!.dtype, bytes), row * weight.columns);
      row += rows;
    }
  }

  #get(weight: Weight): Placed {
    const placed = this.#placed.get(weight);
    if (!placed) throw new Error(`weight ${weight.name} was not loaded`);
    return placed;
  }
}

const rowFormats: Readonly<Record<DType, number>> = {
  BF16: weightFormats.rowsBf16,
  F16: weightFormats.rowsF16,
  F32: weightFormats.rowsF32,
};

function formatOf(weight: Weight, store: TensorStore, quantised: WeightFormat): number {
  const { source } = weight;
  if (weight.columns === 1 || "values" in source) return weightFormats.rowsF32;
  const { dtype } = store.tensors.get(source.slices[0].tensor)!;
  return weight.use === "rows" ? rowFormats[dtype] : panelFormat(weight, dtype, quantised);
}

/**
 * Only the language model's products are quantised: the tower and the projector see each picture once, and lose more.
 * int4 keeps the output matrix in int8, since every token is chosen by it.
 */
function panelFormat(weight: Weight, dtype: DType, quantised: WeightFormat): number {
  if (quantised !== "checkpoint" && weight.name.startsWith("language_model.")) {
    const head = weight.name.endsWith("output.weight") || weight.name.endsWith("lm_head.weight");
    return quantised === "int8" || head ? weightFormats.panelInt8 : weightFormats.panelInt4;
  }
  return dtype === "BF16" ? weightFormats.panelBf16 : weightFormats.panelF32;
}

function bytesOf({ rows, columns }: Weight, format: number): { values: number; scales: number } {
  const panels = Math.ceil(rows / panelRows);
  const padded = Math.ceil(columns / columnPadding) * columnPadding;
  const values = panels * panelRows * padded;
  switch (format) {
    case weightFormats.rowsF32:
      return { values: rows * columns * 4, scales: 0 };
    case weightFormats.rowsBf16:
    case weightFormats.rowsF16:
      return { values: rows * columns * 2, scales: 0 };
    case weightFormats.panelF32:
      return { values: values * 4, scales: 0 };
    case weightFormats.panelBf16:
      return { values: values * 2, scales: 0 };
    case weightFormats.panelInt8:
      return { values, scales: panels * panelRows * 4 };
    default:
      return { values: values / 2, scales: (values / int4Group) * 2 };
  }
}
