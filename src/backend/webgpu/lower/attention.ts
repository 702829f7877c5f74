import type { Attention, PagedAttention } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import type { ResultType } from "../kernels/half-output.ts";
import { type FlashTiles, flashTiles } from "../kernels/matrix-flash.ts";
import {
  pagedDecode,
  pagedDecodeCombine,
  pagedDecodeCombineWorkgroups,
  pagedDecodePartialBytes,
  pagedDecodeSplits,
  pagedDecodeThreads,
  pagedDecodeWorkgroups,
} from "../kernels/paged-decode.wgsl.ts";
import { pagedPrefillMatrix, pagedPrefillMatrixWorkgroups } from "../kernels/paged-prefill-matrix.wgsl.ts";
import {
  pagedPrefillPortable,
  pagedPrefillPortableWorkgroups,
} from "../kernels/paged-prefill-portable.wgsl.ts";
import {
  plainAttentionWorkgroups,
  plainPagedAttention,
  plainTileAttention,
} from "../kernels/plain-attention.wgsl.ts";
import {
  tileAttentionMatrix,
  tileAttentionMatrixWorkgroups,
  tileHalves,
  tileHalvesBytes,
  tileHalvesWorkgroups,
} from "../kernels/tile-attention-matrix.wgsl.ts";
import {
  tileAttentionPortable,
  tileAttentionPortableWorkgroups,
} from "../kernels/tile-attention-portable.wgsl.ts";
import { type Dispatch, type Lowering, type Place, status, statusWords, strides } from "./dispatch.ts";
import { f32Output } from "./halves.ts";
import { remembered } from "./remembered.ts";
import type { Choice, Variant } from "./variant.ts";

/** Written once for each shape. */
const kernels = {
  tileAttentionMatrix: remembered(tileAttentionMatrix),
  tileHalves: remembered(tileHalves),
  tileAttentionPortable: remembered(tileAttentionPortable),
  plainTileAttention: remembered(plainTileAttention),
  pagedDecode: remembered(pagedDecode),
  pagedDecodeCombine: remembered(pagedDecodeCombine),
  pagedPrefillMatrix: remembered(pagedPrefillMatrix),
  pagedPrefillPortable: remembered(pagedPrefillPortable),
  plainPagedAttention: remembered(plainPagedAttention),
};

export function lowerAttention(operation: Attention, on: Lowering): Dispatch[] {
  const { query, key, value, heads, headSize, groupRows, output } = operation;
  const together = query.storage === key.storage && query.storage === value.storage;
  const inputs = together ? [query] : [query, key, value];
  const sources = inputs.map((tensor) => on.place(tensor));
  const groups = query.rows / groupRows;
  const sizes = [groups, groupRows, ...[query, key, value].flatMap(strides), output.storage.columns];
  const variants: Variant[] = [];
  const aligned = [query, key, value, output].every(isAligned) && headSize % 4 === 0;
  if (on.mayRound && aligned && headSize % 32 === 0) {
    const shape = { heads, headSize, together, result: on.isHalf(output) ? "f16" : "f32" } as const;
    const overflow = status(statusWords.overflow);
    for (const tiles of flashTiles(headSize, on.device.limits)) {
      const attend = (halves: boolean, from: readonly Place[]): Dispatch => ({
        kernel: kernels.tileAttentionMatrix({ ...shape, halves, tiles }),
        places: [...from, on.place(output), overflow],
        sizes,
        workgroups: tileAttentionMatrixWorkgroups({ ...shape, tiles }, { groups, groupRows }),
      });
      variants.push({
        name: `${flashName(tiles)} halves`,
        rounds: true,
        build: () => {
          const rounded = on.scratch(tileHalvesBytes(shape, query.rows));
          const round: Dispatch = {
            kernel: kernels.tileHalves(shape),
            places: [...(together ? sources : sources.slice(1)), rounded, overflow],
            sizes,
            workgroups: tileHalvesWorkgroups(shape, query.rows),
          };
          return [round, attend(true, [sources[0], rounded])];
        },
      });
      variants.push({
        name: flashName(tiles),
        rounds: true,
        build: () => [attend(false, sources)],
      });
    }
  }
  if (aligned && !on.device.isSoftware) {
    const o = { heads, headSize, together, unroll: 4, rolled: false };
    variants.push({
      name: "portable",
      build: () =>
        inF32(output, on, (place) => ({
          kernel: kernels.tileAttentionPortable(o),
          places: [...sources, place],
          sizes,
          workgroups: tileAttentionPortableWorkgroups(o, { groups, groupRows }),
        })),
    });
  }
  variants.push({
    name: "plain",
    build: () =>
      inF32(output, on, (place) => ({
        kernel: kernels.plainTileAttention({ heads, headSize, together, threads: plainThreads(headSize) }),
        places: [...sources, place],
        sizes: [headSize / 4, ...sizes],
        workgroups: plainAttentionWorkgroups(query.rows, heads),
      })),
  });
  return on.choose({
    name: `attention ${heads}x${headSize} ${groupRows} rows, ${groups} groups${to(output, on)}`,
    output: on.place(output),
    isHalf: on.isHalf(output),
    variants,
  });
}

export function lowerPagedAttention(operation: PagedAttention, on: Lowering): Dispatch[] {
  const { query, starts, lengths, pages, layer, heads, cache, output } = operation;
  const { keyValueHeads, headSize, pageSize } = cache;
  const { cacheType, device } = on;
  const { rows } = query;
  const sources: Place[] = [
    on.place(query),
    { in: "cache", part: "keys", layer },
    { in: "cache", part: "values", layer },
    ...[starts, lengths, pages].map((tensor) => on.place(tensor)),
  ];
  const sequences = lengths.rows;
  const sizes = [rows, sequences, pages.columns, ...strides(query), output.storage.columns];
  const shape = { heads, keyValueHeads, headSize, pageSize };
  const result: ResultType = on.isHalf(output) ? "f16" : "f32";
  const overflow = status(statusWords.overflow);
  const variants: Variant[] = [];
  const aligned = [query, output].every(isAligned) && headSize % 8 === 0;
  const lanes = lanesFor(on, headSize);
  if (!on.portable && aligned && lanes > 0 && rows <= 4 * sequences && !device.isSoftware) {
    const splits = pagedDecodeSplits(shape, { rows, longest: pages.columns * pageSize });
    variants.push({
      name: "decode",
      build: () => {
        const o = { ...shape, cacheType, lanes, unroll: 2, threads: pagedDecodeThreads({ lanes, headSize }) };
        const partial = on.scratch(pagedDecodePartialBytes(shape, { rows, splits }));
        const alone = splits === 1 ? result : "f32";
        const split: Dispatch = {
          kernel: kernels.pagedDecode({ ...o, result: alone }),
          places: [...sources, on.place(output), alone === "f16" ? overflow : partial],
          sizes: [...sizes, splits],
          workgroups: pagedDecodeWorkgroups(o, { rows, splits }),
        };
        if (splits === 1) return [split];
        const combine: Dispatch = {
          kernel: kernels.pagedDecodeCombine({ ...shape, result }),
          places: [partial, on.place(output), ...(result === "f16" ? [overflow] : [])],
          sizes: [...sizes, splits],
          workgroups: pagedDecodeCombineWorkgroups(shape, { rows }),
        };
        return [split, combine];
      },
    });
  }
  if (on.mayRound && cacheType === "f16" && aligned && headSize % 32 === 0) {
    for (const tiles of flashTiles(headSize, device.limits)) {
      const o = { ...shape, tiles, result };
      variants.push({
        name: flashName(tiles),
        rounds: true,
        build: () => [
          {
            kernel: kernels.pagedPrefillMatrix(o),
            places: [...sources, on.place(output), overflow],
            sizes: [...sizes, 1],
            workgroups: pagedPrefillMatrixWorkgroups(o, { rows, sequences }),
          },
        ],
      });
    }
  }
  if (aligned && !device.isSoftware) {
    const o = { ...shape, cacheType, unroll: 4, rolled: false };
    variants.push({
      name: "portable",
      build: () =>
        inF32(output, on, (place) => ({
          kernel: kernels.pagedPrefillPortable(o),
          places: [...sources, place],
          sizes: [...sizes, 1],
          workgroups: pagedPrefillPortableWorkgroups(o, { rows }),
        })),
    });
  }
  variants.push({
    name: "plain",
    build: () =>
      inF32(output, on, (place) => ({
        kernel: kernels.plainPagedAttention({ ...shape, cacheType, threads: plainThreads(headSize) }),
        places: [...sources, place],
        sizes: [headSize / 4, ...sizes],
        workgroups: plainAttentionWorkgroups(rows, heads),
      })),
  });
  const bucket = 2 ** Math.ceil(Math.log2(rows));
  return on.choose({
    name: `paged attention ${heads}/${keyValueHeads}x${headSize} ${cacheType} rows ${bucket} of ${sequences}${to(output, on)}`,
    ...madeUp(operation, on),
    output: on.place(output),
    isHalf: on.isHalf(output),
    variants,
  });
}

/** A kernel that writes f32, and what follows where the output is kept in f16. */
function inF32(output: Tensor, on: Lowering, write: (place: Place) => Dispatch): Dispatch[] {
  const { place, after } = f32Output(output, on);
  return [write(place), ...after];
}

function to(output: Tensor, on: Lowering): string {
  return on.isHalf(output) ? " to f16" : "";
}

/** Positions of each sequence that a trial looks at, at most, and bytes of keys that it has. */
const triedLength = 2048;
const triedBytes = 2 ** 26;

/** Sequences for a trial: of equal shares of the new tokens, at the end of as much context as there may be. */
function madeUp(operation: PagedAttention, on: Lowering): Pick<Choice, "numbers" | "cacheBytes"> {
  const { query, starts, lengths, pages, cache } = operation;
  const sequences = lengths.rows;
  const pageBytes = cache.pageSize * cache.keyValueHeads * cache.headSize * (on.cacheType === "f16" ? 2 : 4);
  const share = Math.ceil(query.rows / sequences);
  const startOf = (b: number) => Math.min(b * share, query.rows);
  const length = Math.max(share, Math.min(triedLength, pages.columns * cache.pageSize));
  const pagesThere = Math.max(1, Math.min(sequences * pages.columns, Math.floor(triedBytes / pageBytes)));
  const numbers = [
    [on.place(starts), Uint32Array.from({ length: sequences + 1 }, (_, b) => startOf(b))],
    [on.place(lengths), new Uint32Array(sequences).fill(length)],
    [on.place(pages), Uint32Array.from({ length: sequences * pages.columns }, (_, i) => i % pagesThere)],
  ] as const;
  return { numbers, cacheBytes: pagesThere * pageBytes };
}

function flashName({ subgroupRows, subgroups, keys }: FlashTiles): string {
  return `matrix ${subgroupRows}x${subgroups}x${keys}`;
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

function isAligned({ storage, firstColumn }: Tensor): boolean {
  return storage.columns % 4 === 0 && firstColumn % 4 === 0;
}

/** One column of the values for each: what compilers of software adapters take best, too. */
function plainThreads(headSize: number): number {
  return Math.min(128, Math.max(16, 2 ** Math.ceil(Math.log2(headSize))));
}
