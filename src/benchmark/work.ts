import type { Precision } from "../backend/backend.ts";
import type { ProductKind } from "../backend/cpu/limits.ts";
import { type WeightFormat, weightBytes } from "../backend/cpu/weights.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import { costOf } from "../graph/cost.ts";
import { type Operation, weightsOf } from "../graph/operations.ts";
import type { Weight } from "../graph/tensor.ts";
import { type LimitSample, productLimit, readLimit } from "./limits.ts";
import type { Attended, Run } from "./measured-backend.ts";

/** How numbers are held on the device: decides bytes, and which of the machine's rates is the limit. */
export interface Holding {
  readonly store: TensorStore;
  readonly weights: WeightFormat;
  readonly precision: Precision;
  /** Bytes of one value of a key or value in the cache. */
  readonly cacheValueBytes: number;
}

/** What an operation of a run must at least do. */
export interface OperationWork {
  readonly operation: Operation;
  /** Multiplications and additions of its products. */
  readonly flops: number;
  /** Bytes of weights, each read once. */
  readonly weightBytes: number;
  /** Bytes of weights, activations and cached keys and values, each read or written once. */
  readonly bytes: number;
  /** The numbers its products are made of. */
  readonly kind: ProductKind;
  /** Milliseconds it took; undefined where the backend does not say. */
  readonly milliseconds: number | undefined;
}

/** The work of each operation of a run. */
export function workOf(run: Run, holding: Holding): OperationWork[] {
  return run.graph.operations.map((operation, i) => {
    const { flops, activationBytes } = costOf(operation, 0, run.attended.pairs);
    const parameters = parameterBytes(operation, holding);
    return {
      operation,
      flops,
      weightBytes: parameters,
      bytes: parameters + activationBytes + cacheBytes(operation, run.attended, holding),
      kind: productKind(operation, holding),
      milliseconds: run.operations?.[i],
    };
  });
}

/** The least milliseconds an operation can take: what its arithmetic needs, or what its bytes need, whichever is more. */
export function leastMilliseconds(work: OperationWork, limits: LimitSample): number {
  return Math.max(work.flops / productLimit(limits, work.kind), work.bytes / readLimit(limits));
}

function parameterBytes(operation: Operation, { store, weights }: Holding): number {
  // Of a table, only the rows that are looked up.
  if (operation.kind === "embed") {
    const { table, ids } = operation;
    return (weightBytes([table], store, weights) / table.rows) * ids.rows;
  }
  return weightBytes(weightsOf(operation), store, weights);
}

function cacheBytes(operation: Operation, { positions }: Attended, { cacheValueBytes }: Holding): number {
  if (operation.kind !== "pagedAttention" && operation.kind !== "rotary") return 0;
  const { keyValueHeads, headSize } = operation.cache;
  const tokens = operation.kind === "pagedAttention" ? positions : operation.query.rows;
  return tokens * 2 * keyValueHeads * headSize * cacheValueBytes;
}

function productKind(operation: Operation, holding: Holding): ProductKind {
  if (holding.precision === "f32") return "f32";
  if (operation.kind === "matmul") return kindOfWeight(operation.weight, holding);
  if (operation.kind === "gatedMatmul") return kindOfWeight(operation.gate, holding);
  return "bf16";
}

/** By what is left of each value: 4 bytes, 2, or fewer once quantised. */
function kindOfWeight(weight: Weight, { store, weights }: Holding): ProductKind {
  const bytes = weightBytes([weight], store, weights);
  if (bytes < 0.9 * weightBytes([weight], store, "checkpoint")) return "int8";
  return bytes < 3 * weight.rows * weight.columns ? "bf16" : "f32";
}
