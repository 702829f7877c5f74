import type { Rotary } from "../../../graph/operations.ts";
import { rotaryKernel, rotaryWorkgroups } from "../kernels/rotary.wgsl.ts";
import { type Dispatch, type Lowering, strides } from "./dispatch.ts";

export function lowerRotary(operation: Rotary, on: Lowering): Dispatch[] {
  const { query, key, value, angles, slots, layer, heads, cache, output } = operation;
  const { keyValueHeads, headSize } = cache;
  const shared = query.storage === key.storage && query.storage === value.storage;
  const inputs = shared ? [query] : [query, key, value];
  return [
    {
      kernel: rotaryKernel({ heads, keyValueHeads, headSize, cacheType: on.cacheType, shared }),
      places: [
        ...[...inputs, angles, slots].map((tensor) => on.place(tensor)),
        { in: "cache", part: "keys", layer },
        { in: "cache", part: "values", layer },
        on.place(output),
      ],
      sizes: [query.rows, ...[query, key, value, angles, slots, output].flatMap(strides)],
      workgroups: rotaryWorkgroups({ heads, keyValueHeads }, query.rows),
    },
  ];
}
