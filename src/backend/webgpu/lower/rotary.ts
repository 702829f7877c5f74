import type { Rotary } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { rotaryKernel, rotaryWorkgroups } from "../kernels/rotary.wgsl.ts";
import { type Dispatch, type Lowering, strides } from "./dispatch.ts";
import { remembered } from "./remembered.ts";

const kernelOf = remembered(rotaryKernel);

export function lowerRotary(operation: Rotary, on: Lowering): Dispatch[] {
  const { query, key, value, angles, slots, layer, heads, cache, output } = operation;
  const { keyValueHeads, headSize } = cache;
  const { cacheType } = on;
  const shared = query.storage === key.storage && query.storage === value.storage;
  const inputs = shared ? [query] : [query, key, value];
  const shape = { heads, keyValueHeads, headSize };
  const turn = (wide: boolean): Dispatch[] => [
    {
      kernel: kernelOf({ ...shape, cacheType, shared, ...(wide && { wide }) }),
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
  const aligned = headSize % 8 === 0 && [query, key, value, angles, output].every(isAligned);
  if (!aligned || on.device.isSoftware || on.portable) return turn(false);
  const bucket = 2 ** Math.ceil(Math.log2(query.rows));
  return on.choose({
    name: `rotary ${heads}/${keyValueHeads}x${headSize} ${cacheType} rows ${bucket}`,
    output: on.place(output),
    isHalf: false,
    variants: [
      { name: "wide", build: () => turn(true) },
      { name: "plain", build: () => turn(false) },
    ],
    numbers: [[on.place(slots), Uint32Array.from({ length: query.rows }, (_, i) => i)]],
    cacheBytes: query.rows * keyValueHeads * headSize * (cacheType === "f16" ? 2 : 4),
  });
}

function isAligned({ storage, firstColumn }: Tensor): boolean {
  return storage.columns % 4 === 0 && firstColumn % 4 === 0;
}
