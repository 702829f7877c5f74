import type { Operation } from "../../../graph/operations.ts";
import { lowerAttention, lowerPagedAttention } from "./attention.ts";
import type { Dispatch, Lowering } from "./dispatch.ts";
import { lowerEmbed, lowerGather, lowerPatches, lowerScatter } from "./moves.ts";
import { lowerNorm } from "./norms.ts";
import { lowerPick } from "./pick.ts";
import { lowerGatedMatmul, lowerMatmul } from "./products.ts";
import { lowerRotary } from "./rotary.ts";

/** The dispatches that compute an operation, in order. */
export function lower(operation: Operation, on: Lowering): Dispatch[] {
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
      return lowerMatmul(operation, on);
    case "gatedMatmul":
      return lowerGatedMatmul(operation, on);
    case "layerNorm":
    case "rmsNorm":
      return lowerNorm(operation, on);
    case "rotary":
      return lowerRotary(operation, on);
    case "attention":
      return lowerAttention(operation, on);
    case "pagedAttention":
      return lowerPagedAttention(operation, on);
    case "pickTokens":
      return lowerPick(operation, on);
  }
}
