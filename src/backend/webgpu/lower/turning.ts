import { type Operation, type PagedAttention, readsOf } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";

/** Most new tokens a sequence, over all sequences, for which attention decodes: more are computed in tiles. */
export const mostDecoded = 4;

/** Whether a rotary makes the query of the attention behind it, for so few new tokens that both may become one. */
export function turnsFor(rotary: Operation | undefined, next: Operation): next is PagedAttention {
  if (rotary?.kind !== "rotary" || next.kind !== "pagedAttention") return false;
  const { query, cache, layer, heads, lengths } = next;
  const { output } = rotary;
  return (
    query.storage === output.storage &&
    query.firstColumn === output.firstColumn &&
    query.columns === output.columns &&
    layer === rotary.layer &&
    heads === rotary.heads &&
    (["keyValueHeads", "headSize", "pageSize"] as const).every((key) => cache[key] === rotary.cache[key]) &&
    query.rows <= mostDecoded * lengths.rows
  );
}

/** What each operation reads, and what it may read in the place of the one before it. */
export function readsWithTurning(operations: readonly Operation[]): (step: number) => Tensor[] {
  return (step) => {
    const before = operations[step - 1];
    const own = readsOf(operations[step]);
    return turnsFor(before, operations[step]) ? [...own, ...readsOf(before)] : own;
  };
}
