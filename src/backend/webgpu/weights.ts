import { widen } from "../../checkpoint/dtypes.ts";
import type { TensorStore } from "../../checkpoint/tensor-store.ts";
import type { Weight } from "../../graph/tensor.ts";
import type { LoadedWeights } from "../backend.ts";
import type { WeightFormat as ProductFormat } from "./kernels/product.ts";
import { type DeviceMemory, usage } from "./memory.ts";
import { rowsFitting, type Uploader } from "./upload.ts";
import { type PlanOptions, planWeight, tableRowBytes, type WeightPlan } from "./weight-plan.ts";

/** Rows of a weight in a buffer of their own. */
export interface PlacedPart {
  readonly firstRow: number;
  readonly rows: number;
  readonly values: GPUBuffer;
  readonly scales: GPUBuffer | undefined;
}

export interface PlacedWeight {
  readonly kind: WeightPlan["kind"];
  format: ProductFormat;
  readonly rows: number;
  readonly columns: number;
  readonly parts: readonly PlacedPart[];
}

/** Parameters in the device's memory. */
export class WebGpuWeights implements LoadedWeights {
  readonly #memory: DeviceMemory;
  readonly #placed = new Map<Weight, PlacedWeight>();

  constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  get bytes(): number {
    let sum = 0;
    for (const { parts } of this.#placed.values()) {
      for (const { values, scales } of parts) sum += values.size + (scales?.size ?? 0);
    }
    return sum;
  }

  /** Takes the memory that a plan says, before anything is read. */
  allocate(weight: Weight, plan: WeightPlan): void {
    const flags = usage.storage | usage.copyTarget | usage.copySource;
    const parts = plan.parts.map(({ firstRow, rows, bytes, scaleBytes }) => ({
      firstRow,
      rows,
      values: this.#memory.allocate(weight.name, bytes, flags),
      scales: scaleBytes > 0 ? this.#memory.allocate(`${weight.name} scales`, scaleBytes, flags) : undefined,
    }));
    const { kind, format } = plan;
    this.#placed.set(weight, { kind, format, rows: weight.rows, columns: weight.columns, parts });
  }

  get(weight: Weight): PlacedWeight {
    const placed = this.#placed.get(weight);
    if (!placed) throw new Error(`weight ${weight.name} was not loaded`);
    return placed;
  }

  entries(): Iterable<[Weight, PlacedWeight]> {
    return this.#placed.entries();
  }

  dispose(): void {
    for (const { parts } of this.#placed.values()) {
      for (const { values, scales } of parts) {
        this.#memory.free(values);
        if (scales) this.#memory.free(scales);
      }
    }
    this.#placed.clear();
  }
}

/** Rows `row … row + count - 1` of a weight as the checkpoint has them. */
export interface RowPiece {
  readonly row: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** The rows of a weight from the checkpoint, a bounded number of bytes at a time; never over a part's end. */
export async function* readPieces(
  weight: Weight,
  store: TensorStore,
  parts: readonly { firstRow: number; rows: number }[],
  mostRows: number,
): AsyncGenerator<RowPiece> {
  if ("values" in weight.source) throw new Error(`${weight.name} is not of the checkpoint`);
  let row = 0;
  for (const slice of weight.source.slices) {
    let done = 0;
    while (done < slice.rows) {
      const part = parts.find(({ firstRow, rows }) => row < firstRow + rows)!;
      const count = Math.min(mostRows, slice.rows - done, part.firstRow + part.rows - row);
      const bytes = await store.readRows(slice.tensor, slice.firstRow + done, count);
      yield { row, count, bytes };
      row += count;
      done += count;
    }
  }
}

/** Fills a weight that is held as the checkpoint has it. */
export async function fillWeight(
  weight: Weight,
  placed: PlacedWeight,
  store: TensorStore,
  uploader: Uploader,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (placed.kind === "vector") {
    await fillVector(weight, placed, store, uploader);
    return;
  }
  const { columns, format, parts, kind } = placed;
  const rowBytes = columns * (format === "f32" ? 4 : 2);
  const padded =
    kind === "rows"
      ? tableRowBytes(columns, format)
      : Math.ceil(columns / 64) * 64 * (format === "f32" ? 4 : 2);
  for await (const { row, bytes } of readPieces(weight, store, parts, rowsFitting(padded))) {
    signal?.throwIfAborted();
    const part = parts.findLast(({ firstRow }) => firstRow <= row)!;
    await uploader.write(part.values, (row - part.firstRow) * padded, bytes, rowBytes, padded);
  }
}

async function fillVector(
  weight: Weight,
  placed: PlacedWeight,
  store: TensorStore,
  uploader: Uploader,
): Promise<void> {
  const values = new Float32Array(weight.rows * weight.columns);
  if ("values" in weight.source) values.set(weight.source.values);
  else {
    let row = 0;
    for (const { tensor, firstRow, rows } of weight.source.slices) {
      const bytes = await store.readRows(tensor, firstRow, rows);
      values.set(widen(store.tensors.get(tensor)!.dtype, bytes), row * weight.columns);
      row += rows;
    }
  }
  const rowBytes = weight.columns * 4;
  const step = rowsFitting(rowBytes);
  const bytes = new Uint8Array(values.buffer);
  for (let row = 0; row < weight.rows; row += step) {
    const some = bytes.subarray(row * rowBytes, (row + step) * rowBytes);
    await uploader.write(placed.parts[0].values, row * rowBytes, some, rowBytes, rowBytes);
  }
}

/** Plans for all weights, by the largest range a kernel can see. */
export function planWeights(
  weights: readonly Weight[],
  store: TensorStore,
  options: PlanOptions,
): Map<Weight, WeightPlan> {
  return new Map(weights.map((weight) => [weight, planWeight(weight, store, options)]));
}
