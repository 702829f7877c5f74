import type { DType, TensorStore } from "../../checkpoint/tensor-store.ts";
import type { Weight } from "../../graph/tensor.ts";
import type { Precision } from "../backend.ts";
import { type WeightFormat as ProductFormat, weightLayout } from "./kernels/product.ts";

/** How weights of matrix products are held. */
export type HeldWeights = "checkpoint" | "int8" | "int4";

/** A weight in rows of its own, where one buffer or one binding can not hold all of them. */
export interface PartPlan {
  readonly firstRow: number;
  readonly rows: number;
  readonly bytes: number;
  readonly scaleBytes: number;
}

export interface WeightPlan {
  /** "vector": f32 without padding; "rows": looked up by row; "product": see `weightLayout`. */
  readonly kind: "vector" | "rows" | "product";
  readonly format: ProductFormat;
  readonly parts: readonly PartPlan[];
}

export interface PlanOptions {
  readonly held: HeldWeights;
  readonly precision: Precision;
  /** The largest range of a buffer that a kernel can see. */
  readonly bindingLimit: number;
}

const formats: Readonly<Record<DType, ProductFormat>> = { BF16: "bf16", F16: "f16", F32: "f32" };

/** Rows of a part are a multiple of this: of every kernel's tiles. */
const partRows = 256;

/** The form a weight takes in the device's memory. */
export function planWeight(weight: Weight, store: TensorStore, options: PlanOptions): WeightPlan {
  const { rows, columns, source } = weight;
  if (columns === 1 || "values" in source) {
    const bytes = rows * columns * 4;
    return { kind: "vector", format: "f32", parts: [{ firstRow: 0, rows, bytes, scaleBytes: 0 }] };
  }
  const { dtype } = store.tensors.get(source.slices[0].tensor)!;
  const kind = weight.use;
  const format = kind === "rows" ? formats[dtype] : productFormat(weight, dtype, options.held);
  const sizes = (count: number) =>
    kind === "rows"
      ? { values: count * tableRowBytes(columns, format), scales: 0 }
      : weightLayout(count, columns, format);
  const most = Math.floor(options.bindingLimit / sizes(1).values);
  const step = most >= rows ? rows : Math.max(1, most > partRows ? most - (most % partRows) : most);
  const parts: PartPlan[] = [];
  for (let firstRow = 0; firstRow < rows; firstRow += step) {
    const count = Math.min(step, rows - firstRow);
    const { values, scales } = sizes(count);
    parts.push({ firstRow, rows: count, bytes: values, scaleBytes: scales });
  }
  return { kind, format, parts };
}

/** Bytes of a row that is looked up: 16-bit values in whole u32. */
export function tableRowBytes(columns: number, format: ProductFormat): number {
  return format === "f32" ? columns * 4 : Math.ceil(columns / 2) * 4;
}

export function planBytes(plans: Iterable<WeightPlan>): number {
  let sum = 0;
  for (const { parts } of plans) for (const { bytes, scaleBytes } of parts) sum += bytes + scaleBytes;
  return sum;
}

/**
 * Only the language model's products are quantised: the tower and the projector see each picture once, and lose more.
 * int4 keeps the output matrix in int8, since every token is chosen by it.
 */
function productFormat(weight: Weight, dtype: DType, held: HeldWeights): ProductFormat {
  if (held === "checkpoint" || !weight.name.startsWith("language_model.")) return formats[dtype];
  const head = weight.name.endsWith("output.weight") || weight.name.endsWith("lm_head.weight");
  return held === "int8" || head ? "int8" : "int4";
}
