import type { Rotary } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { rotaryKernel, rotaryWorkgroups } from "../kernels/rotary.wgsl.ts";
import { type Dispatch, isAligned, type Lowering, strides } from "./dispatch.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { remembered } from "./remembered.ts";

const kernelOf = remembered(rotaryKernel);

export function lowerRotary(operation: Rotary, on: Lowering): Dispatch[] {
  const { query, slots, heads, cache, output } = operation;
  const { keyValueHeads, headSize } = cache;
  const { cacheType } = on;
  if (!canBeWide(operation) || on.device.isSoftware || on.portable)
    return rotaryDispatches(operation, on, false);
  const bucket = powerOfTwo(query.rows);
  return on.choose({
    name: `rotary ${heads}/${keyValueHeads}x${headSize} ${cacheType} rows ${bucket}`,
    output: on.place(output),
    isHalf: false,
    variants: [
      { name: "wide", build: () => rotaryDispatches(operation, on, true) },
      { name: "plain", build: () => rotaryDispatches(operation, on, false) },
    ],
    numbers: [[on.place(slots), Uint32Array.from({ length: query.rows }, (_, i) => i)]],
    cacheBytes: query.rows * keyValueHeads * headSize * (cacheType === "f16" ? 2 : 4),
  });
}

/** Whether four columns may be read and written at once. */
export function canBeWide({ query, key, value, angles, cache, output }: Rotary): boolean {
  return cache.headSize % 8 === 0 && [query, key, value, angles, output].every(isAligned);
}

/** A rotary by itself. */
export function rotaryDispatches(operation: Rotary, on: Lowering, wide: boolean): Dispatch[] {
  const { query, key, value, angles, slots, layer, heads, cache, output } = operation;
  const { keyValueHeads, headSize } = cache;
  const shape = { heads, keyValueHeads, headSize };
  const { shared, inputs } = rotaryInputs(operation);
  return [
    {
      kernel: kernelOf({ ...shape, cacheType: on.cacheType, shared, ...(wide && { wide }) }),
      places: [
        ...[...inputs, angles, slots].map((tensor) => on.place(tensor)),
        { in: "cache", part: "keys", layer },
        { in: "cache", part: "values", layer },
        on.place(output),
      ],
      sizes: [query.rows, ...[query, key, value, angles, slots, output].flatMap(strides)],
      workgroups: rotaryWorkgroups(wide ? { ...shape, wide } : shape, query.rows),
    },
  ];
}

/** Query, key and value: columns of one matrix (`shared`), which is bound once, or three. */
export function rotaryInputs({ query, key, value }: Rotary): { shared: boolean; inputs: Tensor[] } {
  const shared = query.storage === key.storage && query.storage === value.storage;
  return { shared, inputs: shared ? [query] : [query, key, value] };
}
