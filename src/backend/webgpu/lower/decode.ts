import type { PagedAttention, Rotary } from "../../../graph/operations.ts";
import {
  type PagedDecodeOptions,
  pagedDecode,
  pagedDecodeBindings,
  pagedDecodeBytes,
  pagedDecodeWorkgroups,
} from "../kernels/paged-decode.wgsl.ts";
import { pagedDecodeCombine, pagedDecodeCombineWorkgroups } from "../kernels/paged-decode-combine.wgsl.ts";
import {
  type PagedDecodePortableOptions,
  pagedDecodePortable,
} from "../kernels/paged-decode-portable.wgsl.ts";
import { canScatter } from "../kernels/paged-decode-scatter.ts";
import { pagedDecodePartialBytes, pagedDecodeSplits } from "../kernels/paged-decode-splits.ts";
import {
  type Dispatch,
  isAligned,
  type Lowering,
  type Place,
  status,
  statusWords,
  strides,
} from "./dispatch.ts";
import { f32Output } from "./halves.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { remembered } from "./remembered.ts";
import { rotaryInputs } from "./rotary.ts";
import { mostDecoded } from "./turning.ts";
import type { Variant } from "./variant.ts";

const kernels = {
  pagedDecode: remembered(pagedDecode),
  pagedDecodePortable: remembered(pagedDecodePortable),
  pagedDecodeCombine: remembered(pagedDecodeCombine),
};

/** How a workgroup is made up. */
interface Team extends Pick<PagedDecodeOptions, "threads" | "unroll" | "together" | "ahead" | "scatter"> {
  /** About how many workgroups to split the positions over. */
  readonly workgroups?: number;
}

/** Split over workgroups, which another kernel merges: the likeliest to be the quickest first. */
const splitTeams: readonly Team[] = [
  { threads: 256, unroll: 2, ahead: true, scatter: true, workgroups: 256 },
  { threads: 128, unroll: 4, scatter: true, workgroups: 256 },
  { threads: 128, unroll: 2 },
  { threads: 128, unroll: 2, ahead: true },
];
/** All positions of one head: for contexts so short that the time of a second kernel counts for more. */
const headTeams: readonly Team[] = [
  { threads: 1024, unroll: 2, together: 1 },
  { threads: 512, unroll: 4, together: 1 },
  { threads: 512, unroll: 2, together: 1, ahead: true },
];
/** All positions of all heads of a key-value head: for so many sequences that there are workgroups enough. */
const sharedTeams: readonly Team[] = [{ threads: 512, unroll: 2 }];
/** Most positions for a head's team, and most heads of tokens: each of them reads keys and values for itself. */
const headLimits = { positions: 4096, heads: 512 };
const leastShared = 64;
/** Software adapters compile little code in short time. */
const softwareTeams = {
  split: [{ threads: 32, unroll: 1 }],
  whole: [{ threads: 32, unroll: 1, together: 1 }],
};

/** The teams for a number of new tokens and positions: the same wherever a trial's findings are. */
function teamsFor({ query, heads, cache, pages }: PagedAttention, isSoftware: boolean) {
  if (isSoftware) return softwareTeams;
  const rows = powerOfTwo(query.rows);
  const short = pages.columns * cache.pageSize <= headLimits.positions && rows * heads <= headLimits.heads;
  return {
    split: splitTeams,
    whole: [...(short ? headTeams : []), ...(rows * cache.keyValueHeads >= leastShared ? sharedTeams : [])],
  };
}

/**
 * Ways to attend with few new tokens a sequence, at the speed of memory; none where they do not apply.
 * @param rotary what makes the query, to be part of them
 */
export function decodeVariants(operation: PagedAttention, on: Lowering, rotary?: Rotary): Variant[] {
  const { query, lengths, heads, cache, output } = operation;
  const { headSize, keyValueHeads, pageSize } = cache;
  const { device, cacheType } = on;
  const lanes = lanesFor(on, headSize);
  const read = rotary ? [rotary.query, rotary.key, rotary.value, rotary.angles] : [query];
  const aligned = [...read, output].every(isAligned) && headSize % 8 === 0;
  if (!aligned || query.rows > mostDecoded * lengths.rows) return [];
  if (device.isSoftware && !device.settings.trial) return [];
  if (on.portable || lanes === 0) return rotary || headSize > 256 ? [] : [portableVariant(operation, on)];
  // Workgroups that are done would write where others still read.
  if (rotary && read.some((tensor) => overlap(on.place(tensor), on.place(output)))) return [];
  const turning = rotary && { shared: rotaryInputs(rotary).shared };
  const width = Math.min(device.info.subgroupMinSize, 32);
  const longest = operation.pages.columns * pageSize;
  const { split, whole } = teamsFor(operation, device.isSoftware);
  const variant = (kind: string, { workgroups, ...team }: Team, splits: number): Variant[] => {
    const o = { heads, keyValueHeads, headSize, pageSize, cacheType, lanes, width, ...team, turning };
    const { scatter, together = heads / keyValueHeads } = team;
    if (!fits(o, on) || (scatter && !canScatter({ lanes, together }))) return [];
    const words = Object.entries({ ...team, workgroups }).flatMap(([key, value]) =>
      value === undefined ? [] : [`${key} ${value}`],
    );
    const name = [kind, ...words].join(" ");
    return [
      {
        name: rotary ? `${name} with rotary` : name,
        build: () => decode(o, operation, on, splits, rotary),
      },
    ];
  };
  return [
    ...split.flatMap((team: Team) => {
      const { workgroups } = team;
      return variant("decode", team, pagedDecodeSplits(cache, { rows: query.rows, longest, workgroups }));
    }),
    ...whole.flatMap((team) => variant("whole", team, 1)),
  ];
}

/** For devices without subgroups. */
function portableVariant(operation: PagedAttention, on: Lowering): Variant {
  const { query, heads, cache } = operation;
  const { keyValueHeads, headSize, pageSize } = cache;
  const o = { heads, keyValueHeads, headSize, pageSize, cacheType: on.cacheType };
  const longest = operation.pages.columns * pageSize;
  const splits = pagedDecodeSplits(cache, { rows: query.rows, longest });
  return { name: "decode portable", build: () => decodePortable(o, operation, on, splits) };
}

function decodePortable(
  o: PagedDecodePortableOptions,
  operation: PagedAttention,
  on: Lowering,
  splits: number,
): Dispatch[] {
  const { query, starts, lengths, pages, layer, output } = operation;
  const { rows } = query;
  const { heads, headSize } = o;
  const to = f32Output(output, on);
  const partial = on.scratch(pagedDecodePartialBytes(o, { rows, splits }));
  const sizes = [rows, lengths.rows, pages.columns, ...strides(query), output.storage.columns, splits];
  const split: Dispatch = {
    kernel: kernels.pagedDecodePortable(o),
    places: [
      on.place(query),
      { in: "cache", part: "keys", layer },
      { in: "cache", part: "values", layer },
      ...[starts, lengths, pages].map((tensor) => on.place(tensor)),
      to.place,
      partial,
    ],
    sizes,
    workgroups: pagedDecodeWorkgroups(o, { rows, splits }),
  };
  const combine: Dispatch = {
    kernel: kernels.pagedDecodeCombine({ heads, headSize, subgroups: false }),
    places: [partial, to.place],
    sizes,
    workgroups: pagedDecodeCombineWorkgroups(o, { rows }),
  };
  return [split, ...(splits === 1 ? [] : [combine]), ...to.after];
}

function decode(
  o: PagedDecodeOptions,
  operation: PagedAttention,
  on: Lowering,
  splits: number,
  rotary: Rotary | undefined,
): Dispatch[] {
  const { starts, lengths, pages, layer, output } = operation;
  const { query } = rotary ?? operation;
  const { rows } = query;
  const result = on.isHalf(output) ? "f16" : "f32";
  const overflow = status(statusWords.overflow);
  const partial = on.scratch(pagedDecodePartialBytes(o, { rows, splits }));
  const alone = splits === 1 ? result : "f32";
  const turned = rotary && [rotary.key, rotary.value, rotary.angles, rotary.slots];
  const read = rotary ? [...rotaryInputs(rotary).inputs, rotary.angles, rotary.slots] : [query];
  const sizes = [rows, lengths.rows, pages.columns, ...strides(query), output.storage.columns, splits];
  const split: Dispatch = {
    kernel: kernels.pagedDecode({ ...o, result: alone }),
    places: [
      ...read.map((tensor) => on.place(tensor)),
      { in: "cache", part: "keys", layer },
      { in: "cache", part: "values", layer },
      ...[starts, lengths, pages].map((tensor) => on.place(tensor)),
      on.place(output),
      alone === "f16" ? overflow : partial,
    ],
    sizes: [...sizes, ...(turned ?? []).flatMap(strides)],
    workgroups: pagedDecodeWorkgroups(o, { rows, splits }),
  };
  if (splits === 1) return [split];
  const { heads, headSize } = o;
  const combine: Dispatch = {
    kernel: kernels.pagedDecodeCombine({ heads, headSize, result }),
    places: [partial, on.place(output), ...(result === "f16" ? [overflow] : [])],
    sizes,
    workgroups: pagedDecodeCombineWorkgroups(o, { rows }),
  };
  return [split, combine];
}

/** Whether the device has the invocations, the workgroup memory and the bindings that a kernel takes. */
function fits(o: PagedDecodeOptions, { device: { limits } }: Lowering): boolean {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = limits;
  return (
    o.threads <= Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX) &&
    pagedDecodeBytes(o) <= limits.maxComputeWorkgroupStorageSize &&
    pagedDecodeBindings(o) <= limits.maxStorageBuffersPerShaderStage
  );
}

/** Invocations of a subgroup that can hold a row of the cache; 0 where there are none. */
function lanesFor({ device, cacheType }: Lowering, headSize: number): number {
  if (!device.features.has("subgroups")) return 0;
  const most = Math.min(device.info.subgroupMinSize, 16);
  const words = cacheType === "f16" ? 8 : 4;
  for (let lanes = most; lanes > 0; lanes /= 2) {
    if (headSize % (lanes * words) === 0) return lanes;
  }
  return 0;
}

function overlap(a: Place, b: Place): boolean {
  if (a.in !== "arena" || b.in !== "arena") return false;
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}
