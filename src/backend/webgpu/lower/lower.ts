import {
  type GatedMatmul,
  type Matmul,
  type Operation,
  type RmsNorm,
  type Rotary,
  readsOf,
} from "../../../graph/operations.ts";
import type { Graph } from "../../../graph/recorder.ts";
import type { Storage } from "../../../graph/tensor.ts";
import { canTurn, lowerAttention, lowerPagedAttention } from "./attention.ts";
import type { Dispatch, Lowering } from "./dispatch.ts";
import { lowerEmbed, lowerGather, lowerPatches, lowerScatter } from "./moves.ts";
import { lowerNorm } from "./norms.ts";
import { lowerPick } from "./pick.ts";
import { canFuse, lowerGatedMatmul, lowerMatmul } from "./products.ts";
import { lowerRotary } from "./rotary.ts";

/** The dispatches of each operation, in order. A norm or rotary that became part of the next operation has none. */
export function lowerOperations(
  { operations, outputs }: Pick<Graph, "operations" | "outputs">,
  on: Lowering,
  each: (dispatches: Dispatch[]) => void,
): void {
  const readers = new Map<Storage, number>();
  for (const { storage } of [...operations.flatMap(readsOf), ...outputs.values()])
    readers.set(storage, (readers.get(storage) ?? 0) + 1);
  let left: RmsNorm | Rotary | undefined;
  operations.forEach((operation, i) => {
    const next = operations[i + 1];
    if (operation.kind === "rmsNorm" || operation.kind === "rotary") {
      const read = readers.get(operation.output.storage) ?? 0;
      if ((next && canFuse(operation, next, read, on)) || canTurn(operation, next, read, on)) {
        left = operation;
        each([]);
        return;
      }
    }
    each(lower(operation, on, left, following(operations, i)));
    left = undefined;
  });
}

/** The next two products, or as many as there are. */
function following(operations: readonly Operation[], i: number): (Matmul | GatedMatmul)[] {
  const found: (Matmul | GatedMatmul)[] = [];
  for (let k = i + 1; k < operations.length && found.length < 2; k++) {
    const operation = operations[k];
    if (operation.kind === "matmul" || operation.kind === "gatedMatmul") found.push(operation);
  }
  return found;
}

/**
 * The dispatches that compute an operation.
 * @param left what makes its input, and was left to it
 * @param next the products that come after it
 */
function lower(
  operation: Operation,
  on: Lowering,
  left: RmsNorm | Rotary | undefined,
  next: readonly (Matmul | GatedMatmul)[],
): Dispatch[] {
  const norm = left?.kind === "rmsNorm" ? left : undefined;
  switch (operation.kind) {
    case "embed":
      return lowerEmbed(operation, on);
    case "scatterRows":
      return lowerScatter(operation, on);
    case "gatherRows":
      return lowerGather(operation, on);
    case "patches":
      return lowerPatches(operation, on);
    case "matmul":
      return lowerMatmul(operation, on, norm, next);
    case "gatedMatmul":
      return lowerGatedMatmul(operation, on, norm, next);
    case "layerNorm":
    case "rmsNorm":
      return lowerNorm(operation, on);
    case "rotary":
      return lowerRotary(operation, on);
    case "attention":
      return lowerAttention(operation, on);
    case "pagedAttention":
      return lowerPagedAttention(operation, on, left?.kind === "rotary" ? left : undefined);
    case "pickTokens":
      return lowerPick(operation, on);
  }
}
