import type { GatedMatmul, Matmul, Operation, RmsNorm } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import type { ProductOptions } from "../kernels/product.ts";
import type { PlacedPart, PlacedWeight } from "../weights.ts";
import { type Dispatch, inBuffer, type Lowering, type Place, strides } from "./dispatch.ts";
import { type ProductCall, productVariants } from "./product-variants.ts";

/** Most rows for which a norm may be part of the product that reads it. */
const mostFusedRows = 8;

/** Whether a norm and the next operation can be lowered as one: nothing else reads what the norm makes. */
export function canFuse(norm: Operation, next: Operation, readers: number, on: Lowering): norm is RmsNorm {
  if (norm.kind !== "rmsNorm" || (next.kind !== "matmul" && next.kind !== "gatedMatmul")) return false;
  const weight = next.kind === "matmul" ? next.weight : next.gate;
  return (
    next.input.storage === norm.output.storage &&
    readers === 1 &&
    norm.input.rows <= mostFusedRows &&
    on.weight(weight).parts.length === 1
  );
}

/**
 * A product for each part of the weight: each makes columns of the output.
 * @param norm what makes its input
 * @param next the products that come after it
 */
export function lowerMatmul(
  operation: Matmul,
  on: Lowering,
  norm?: RmsNorm,
  next: readonly (Matmul | GatedMatmul)[] = [],
): Dispatch[] {
  const { input, activation, residual, output } = operation;
  const weight = on.weight(operation.weight);
  const { bias, scale, table } = operation;
  const epilogue = { bias: !!bias, activation, scale: !!scale, residual: !!residual, table: !!table };
  const after: Place[] = [
    ...(bias ? [on.vector(bias)] : []),
    ...(scale ? [on.vector(scale)] : []),
    ...(residual ? [on.place(residual)] : []),
    ...(table ? [on.vector(table)] : []),
  ];
  return weight.parts.flatMap((part) => {
    const { columns, format } = weight;
    return lowerProduct(
      { columns, outputs: part.rows, format, epilogue },
      {
        norm,
        upcoming: upcomingOf(next, on),
        input,
        output,
        weights: weightPlaces([part]),
        after,
        residual,
        sizes: productSizesOf(input, output, residual, table?.rows ?? 1, part.firstRow),
      },
      on,
    );
  });
}

export function lowerGatedMatmul(
  { input, gate, up, output }: GatedMatmul,
  on: Lowering,
  norm?: RmsNorm,
  next: readonly (Matmul | GatedMatmul)[] = [],
): Dispatch[] {
  const gates = on.weight(gate);
  const ups = on.weight(up);
  checkAlike(gates, ups);
  return gates.parts.flatMap((part, i) => {
    const { columns, format } = gates;
    return lowerProduct(
      { columns, outputs: part.rows, format, gated: true },
      {
        norm,
        upcoming: upcomingOf(next, on),
        input,
        output,
        weights: weightPlaces([part, ups.parts[i]]),
        after: [],
        sizes: productSizesOf(input, output, undefined, 1, part.firstRow),
      },
      on,
    );
  });
}

function lowerProduct(options: ProductOptions, call: ProductCall, on: Lowering): Dispatch[] {
  return on.choose(productVariants(options, call, on));
}

/** The values of the next weights, where their pages are to be looked up ahead; always of two products, for one kernel. */
function upcomingOf(next: readonly (Matmul | GatedMatmul)[], on: Lowering): readonly Place[] {
  if (!on.looksAhead || next.length === 0) return [];
  const two = [next[0], next[1] ?? next[0]];
  const weights = two.flatMap((product) =>
    product.kind === "matmul" ? [product.weight] : [product.gate, product.up],
  );
  return weights.map((weight) => inBuffer(on.weight(weight).parts[0].values));
}

/** Two weights that one kernel reads side by side lie alike: they have the same sizes and come from one checkpoint. */
function checkAlike(gate: PlacedWeight, up: PlacedWeight): void {
  if (gate.format !== up.format) throw new Error(`a gate in ${gate.format} beside ${up.format}`);
}

/** All values, then all scales. */
function weightPlaces(parts: readonly PlacedPart[]): Place[] {
  const scales = parts.flatMap((part) => (part.scales ? [inBuffer(part.scales)] : []));
  return [...parts.map(({ values }) => inBuffer(values)), ...scales];
}

/** The words of `productSizes`. */
function productSizesOf(
  input: Tensor,
  output: Tensor,
  residual: Tensor | undefined,
  tableRows: number,
  firstRow: number,
): number[] {
  const after = residual ? strides(residual) : [0, 0];
  return [input.rows, ...strides(input), ...strides(output), ...after, tableRows, firstRow];
}
