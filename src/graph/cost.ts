import type { Operation } from "./operations.ts";
import { readsOf, weightsOf, writesOf } from "./operations.ts";
import { bytesPerElement, type Tensor } from "./tensor.ts";

/** What an operation must at least do: arithmetic, and bytes moved. */
export interface Cost {
  /** Multiplications and additions of its products; 0 for what only moves or normalises. */
  readonly flops: number;
  /** Bytes of parameters, each read once. */
  readonly weightBytes: number;
  /** Bytes of activations read and written, each once; the keys and values of the cache are not among them. */
  readonly activationBytes: number;
}

/**
 * The cost of an operation. `weightBytesPerValue`: 2 for bf16. `cachedTokens`: for `pagedAttention`, the sum over query
 * rows of the positions each attends to, which only the run knows.
 */
export function costOf(operation: Operation, weightBytesPerValue: number, cachedTokens = 0): Cost {
  const activationBytes = touched(operation).reduce(
    (sum, { rows, columns, storage }) => sum + rows * columns * bytesPerElement[storage.type],
    0,
  );
  const values =
    operation.kind === "embed" ? operation.output.rows * operation.output.columns : valuesOf(operation);
  return {
    flops: flopsOf(operation, cachedTokens),
    weightBytes: values * weightBytesPerValue,
    activationBytes,
  };
}

/** What is read and written; of a gather or scatter, only the rows that move, at both ends. */
function touched(operation: Operation): Tensor[] {
  if (operation.kind === "gatherRows") return [operation.rows, operation.output, operation.output];
  if (operation.kind === "scatterRows") return [operation.rows, operation.source, operation.source];
  return [...readsOf(operation), ...writesOf(operation)];
}

function valuesOf(operation: Operation): number {
  return weightsOf(operation).reduce((sum, { rows, columns }) => sum + rows * columns, 0);
}

function flopsOf(operation: Operation, cachedTokens: number): number {
  switch (operation.kind) {
    case "matmul":
      return 2 * operation.input.rows * operation.weight.rows * operation.weight.columns;
    case "gatedMatmul":
      return 4 * operation.input.rows * operation.gate.rows * operation.gate.columns;
    case "attention":
      // Scores and their weighted sum: two products of [rows, headSize] with [groupRows, headSize], for each head.
      return 4 * operation.query.rows * operation.groupRows * operation.heads * operation.headSize;
    case "pagedAttention":
      return 4 * cachedTokens * operation.heads * operation.cache.headSize;
    case "embed":
    case "scatterRows":
    case "gatherRows":
    case "patches":
    case "layerNorm":
    case "rmsNorm":
    case "rotary":
    case "pickTokens":
      return 0;
  }
}
