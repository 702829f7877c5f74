import { type Operation, readsOf, weightsOf, writesOf } from "../../../graph/operations.ts";
import type { Graph } from "../../../graph/recorder.ts";
import type { Storage, Tensor, Weight } from "../../../graph/tensor.ts";
import { convertInput, convertInputWorkgroups } from "../kernels/convert-input.wgsl.ts";
import { widenInput, widenInputWorkgroups } from "../kernels/widen-input.wgsl.ts";
import type { PlacedWeight } from "../weights.ts";
import { type Dispatch, type Lowering, type Place, status, statusWords } from "./dispatch.ts";
import { remembered } from "./remembered.ts";

/** Most rows for which a product may be summed in f32 from an f32 input. */
export const mostGemvRows = 8;

const makers: ReadonlySet<Operation["kind"]> = new Set([
  "layerNorm",
  "rmsNorm",
  "matmul",
  "gatedMatmul",
  "attention",
  "pagedAttention",
]);

/**
 * Activations that are kept in f16: those that only products on the matrix units read, which would round them to f16
 * before anything else.
 */
export function halvesOf(
  { operations, outputs }: Pick<Graph, "operations" | "outputs">,
  { mayRound, weight }: Pick<Lowering, "mayRound" | "weight">,
): ReadonlySet<Storage> {
  const halves = new Set<Storage>();
  if (!mayRound) return halves;
  for (const operation of operations) {
    if (!makers.has(operation.kind)) continue;
    // Of a weight in parts, each part writes columns of its own.
    const inParts = weightsOf(operation).some((each) => weight(each).parts.length > 1);
    const [output] = writesOf(operation);
    if (!inParts && isWhole(output) && output.rows > mostGemvRows) halves.add(output.storage);
  }
  for (const { storage } of outputs.values()) halves.delete(storage);
  for (const operation of operations) {
    const input = onlyOperand(operation, weight);
    for (const read of readsOf(operation)) {
      if (read.storage !== input?.storage) halves.delete(read.storage);
    }
  }
  return halves;
}

/** What an operation reads as the left operand of a product on the matrix units, and as nothing else. */
function onlyOperand(operation: Operation, weightAt: (weight: Weight) => PlacedWeight) {
  if (operation.kind !== "matmul" && operation.kind !== "gatedMatmul") return undefined;
  const { input } = operation;
  if (operation.kind === "matmul" && operation.residual?.storage === input.storage) return undefined;
  const { format } = weightAt(operation.kind === "matmul" ? operation.weight : operation.gate);
  const onMatrixUnits = format === "f16" || format === "int8" || format === "int4";
  return onMatrixUnits && isWhole(input) ? input : undefined;
}

function isWhole({ storage, columns, firstColumn }: Tensor): boolean {
  return (
    storage.kind === "activation" && firstColumn === 0 && columns === storage.columns && columns % 8 === 0
  );
}

const convertInputOf = remembered(convertInput);
const widenInputOf = remembered(widenInput);

/** Where a kernel that knows only f32 writes an output, and what then brings it to where it is kept. */
export function f32Output(output: Tensor, on: Lowering): { place: Place; after: Dispatch[] } {
  if (!on.isHalf(output)) return { place: on.place(output), after: [] };
  const { rows, columns } = output;
  const place = on.scratch(rows * columns * 4);
  const narrow: Dispatch = {
    kernel: convertInputOf(columns),
    places: [place, on.place(output), status(statusWords.overflow)],
    sizes: [rows, columns, 0, columns],
    workgroups: convertInputWorkgroups(rows, columns),
  };
  return { place, after: [narrow] };
}

/** Where a kernel that knows only f32 finds an input, and what brings it there before. */
export function f32Input(input: Tensor, on: Lowering): { place: Place; before: Dispatch[] } {
  if (!on.isHalf(input)) return { place: on.place(input), before: [] };
  const { rows, columns } = input;
  const place = on.scratch(rows * columns * 4);
  const widen: Dispatch = {
    kernel: widenInputOf(columns),
    places: [on.place(input), place],
    sizes: [rows],
    workgroups: widenInputWorkgroups(rows, columns),
  };
  return { place, before: [widen] };
}
