import type { PickTokens } from "../../../graph/operations.ts";
import { pickFinishKernel, pickFinishWorkgroups } from "../kernels/pick-tokens.wgsl.ts";
import { pickListsKernel } from "../kernels/pick-tokens-lists.wgsl.ts";
import {
  pickScratchBytes,
  pickSlicesKernel,
  pickSliceWorkgroups,
} from "../kernels/pick-tokens-slices.wgsl.ts";
import { type Dispatch, type Lowering, strides } from "./dispatch.ts";

export function lowerPick(operation: PickTokens, on: Lowering): Dispatch[] {
  const { logits, settings, penalised, suppressed, count, tokens, scores } = operation;
  const { rows, columns: vocabulary } = logits;
  const bytes = pickScratchBytes(rows, vocabulary);
  const slices = on.scratch(bytes.slices);
  const keys = on.scratch(bytes.keys);
  const perSlice = pickSliceWorkgroups(rows, vocabulary);
  const list = (tensor: typeof penalised) => (tensor ? [tensor.columns, ...strides(tensor)] : [0, 0, 0]);
  const lists = [penalised, suppressed].filter((tensor) => tensor !== undefined);
  const plain = lists.length === 0;
  const listed: Dispatch = {
    kernel: pickListsKernel({ penalised: !!penalised, suppressed: !!suppressed }),
    places: [...[logits, settings, ...lists].map((tensor) => on.place(tensor)), slices, keys],
    sizes: [vocabulary, ...strides(logits), ...strides(settings), ...list(penalised), ...list(suppressed)],
    workgroups: perSlice,
  };
  return [
    {
      kernel: pickSlicesKernel({ keys: plain }),
      places: [on.place(logits), slices, ...(plain ? [keys] : [])],
      sizes: [vocabulary, ...strides(logits)],
      workgroups: perSlice,
    },
    ...(plain ? [] : [listed]),
    {
      kernel: pickFinishKernel({ lists: !plain }),
      places: [on.place(logits), on.place(settings), slices, keys, on.place(tokens), on.place(scores)],
      sizes: [vocabulary, perSlice[0], count, ...[logits, settings, tokens, scores].flatMap(strides)],
      workgroups: pickFinishWorkgroups(rows),
    },
  ];
}
