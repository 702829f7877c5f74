import type { Attention, PagedAttention } from "../../../graph/operations.ts";
import {
  plainAttentionWorkgroups,
  plainPagedAttention,
  plainTileAttention,
} from "../kernels/plain-attention.wgsl.ts";
import { type Dispatch, type Lowering, strides } from "./dispatch.ts";

export function lowerAttention(operation: Attention, on: Lowering): Dispatch[] {
  const { query, key, value, heads, headSize, groupRows, output } = operation;
  const together = query.storage === key.storage && query.storage === value.storage;
  const inputs = together ? [query] : [query, key, value];
  return [
    {
      kernel: plainTileAttention({ heads, headSize, together, threads: plainThreads(headSize) }),
      places: [...inputs, output].map((tensor) => on.place(tensor)),
      sizes: [
        headSize / 4,
        query.rows / groupRows,
        groupRows,
        ...[query, key, value].flatMap(strides),
        output.storage.columns,
      ],
      workgroups: plainAttentionWorkgroups(query.rows, heads),
    },
  ];
}

export function lowerPagedAttention(operation: PagedAttention, on: Lowering): Dispatch[] {
  const { query, starts, lengths, pages, layer, heads, cache, output } = operation;
  const { keyValueHeads, headSize, pageSize } = cache;
  const { cacheType } = on;
  return [
    {
      kernel: plainPagedAttention({
        heads,
        keyValueHeads,
        headSize,
        pageSize,
        cacheType,
        threads: plainThreads(headSize),
      }),
      places: [
        on.place(query),
        { in: "cache", part: "keys", layer },
        { in: "cache", part: "values", layer },
        ...[starts, lengths, pages, output].map((tensor) => on.place(tensor)),
      ],
      sizes: [
        headSize / 4,
        query.rows,
        lengths.rows,
        pages.columns,
        ...strides(query),
        output.storage.columns,
      ],
      workgroups: plainAttentionWorkgroups(query.rows, heads),
    },
  ];
}

/** One column of the values for each: what compilers of software adapters take best, too. */
function plainThreads(headSize: number): number {
  return Math.min(128, Math.max(16, 2 ** Math.ceil(Math.log2(headSize))));
}
