import type { Attention, Operation, PagedAttention, Rotary } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import type { ResultType } from "../kernels/half-output.ts";
import { type FlashTiles, flashTiles } from "../kernels/matrix-flash.ts";
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
import { decodeVariants } from "./decode.ts";
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
import { madeUpSequences } from "./made-up-sequences.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { remembered } from "./remembered.ts";
import { canBeWide, rotaryDispatches } from "./rotary.ts";
import { mostDecoded, turnsFor } from "./turning.ts";
import type { Variant } from "./variant.ts";

/** Written once for each shape. */
const kernels = {
  tileAttentionMatrix: remembered(tileAttentionMatrix),
  tileHalves: remembered(tileHalves),
  tileAttentionPortable: remembered(tileAttentionPortable),
  plainTileAttention: remembered(plainTileAttention),
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

/** @param rotary what makes the query, and was left to it: see `canTurn` */
export function lowerPagedAttention(operation: PagedAttention, on: Lowering, rotary?: Rotary): Dispatch[] {
  const { heads, lengths, pages, cache, query, output } = operation;
  const { keyValueHeads, headSize, pageSize } = cache;
  const decoding = decodeVariants(operation, on);
  const tiled = tiledVariants(operation, on);
  const variants = rotary
    ? [
        ...decodeVariants(operation, on, rotary),
        // Apart, one way to decode is enough: trials take their time.
        ...[...decoding.slice(0, 1), ...tiled].map((variant) => behind(rotary, variant, on)),
      ]
    : [...decoding, ...tiled];
  const [rows, sequences] = [query.rows, lengths.rows].map(powerOfTwo);
  // How many positions there may be decides how decoding is shared out.
  const seen = Math.min(8192, Math.max(1024, powerOfTwo(pages.columns * pageSize)));
  const decodes = query.rows <= mostDecoded * lengths.rows;
  // What is quickest for tiles of many rows does not depend on how they are written.
  const what = decodes ? ` up to ${seen}${to(output, on)}` : "";
  return on.choose({
    name: `${rotary ? "rotary and " : ""}paged attention ${heads}/${keyValueHeads}x${headSize} ${on.cacheType} rows ${rows} of ${sequences}${what}`,
    ...madeUpSequences(operation, on, rotary),
    output: on.place(output),
    isHalf: on.isHalf(output),
    variants,
  });
}

/** Whether a rotary may be left to the attention behind it. @param readers operations that read what it makes */
export function canTurn(
  rotary: Operation,
  next: Operation | undefined,
  readers: number,
  on: Lowering,
): rotary is Rotary {
  if (rotary.kind !== "rotary" || !next || readers !== 1 || !turnsFor(rotary, next)) return false;
  return decodeVariants(next, on, rotary).length > 0;
}

/** A variant with the rotary before it: for the last, which judges, the plain one. */
function behind(rotary: Rotary, variant: Variant, on: Lowering): Variant {
  const wide = variant.name !== "plain" && canBeWide(rotary);
  return { ...variant, build: () => [...rotaryDispatches(rotary, on, wide), ...variant.build()] };
}

/** Ways for any number of new tokens. */
function tiledVariants(operation: PagedAttention, on: Lowering): Variant[] {
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
  return variants;
}

/** A kernel that writes f32, and what follows where the output is kept in f16. */
function inF32(output: Tensor, on: Lowering, write: (place: Place) => Dispatch): Dispatch[] {
  const { place, after } = f32Output(output, on);
  return [write(place), ...after];
}

function to(output: Tensor, on: Lowering): string {
  return on.isHalf(output) ? " to f16" : "";
}

function flashName({ subgroupRows, subgroups, keys }: FlashTiles): string {
  return `matrix ${subgroupRows}x${subgroups}x${keys}`;
}

/** One column of the values for each: what compilers of software adapters take best, too. */
function plainThreads(headSize: number): number {
  return Math.min(128, Math.max(16, powerOfTwo(headSize)));
}
