import type { DotGemvOptions } from "./dot-gemv.wgsl.ts";
import type { GemvOptions } from "./gemv-plan.ts";
import type { Tile } from "./matrix-gemm-plan.ts";
import type { WeightFormat } from "./product.ts";

/** Where the search for the fastest products begins: what came first on an NVIDIA H200 (SPEED.md), and what comes near. */

export type Sharing = Pick<GemvOptions, "threads" | "together" | "words" | "unroll" | "decode">;

const floatSharings: readonly Sharing[] = [
  {},
  { threads: 512, together: 4, unroll: 1 },
  { threads: 512, together: 2, unroll: 1 },
  { threads: 256, together: 2, unroll: 1 },
  { threads: 128, together: 4 },
];

/** How the threads of `gemv` share the work, for a row or two; the first is the kernel's own choice. */
export const gemvSharings: Readonly<Record<WeightFormat, readonly Sharing[]>> = {
  f32: floatSharings,
  f16: floatSharings,
  bf16: floatSharings,
  int8: [{}, { threads: 128, together: 4, words: 2, unroll: 2 }, { threads: 256, together: 8, words: 2 }],
  int4: [
    {},
    { threads: 64, together: 4, words: 2, unroll: 2 },
    { threads: 128, together: 4, words: 2, unroll: 1 },
  ],
};

export type DotSharing = Pick<DotGemvOptions, "threads" | "together" | "unroll"> &
  Partial<Pick<DotGemvOptions, "lanes">>;

/** How the invocations of `dotGemv` share the work; as many lanes as a subgroup has, unless fewer are said. */
export const dotSharings: Readonly<Record<DotGemvOptions["format"], readonly DotSharing[]>> = {
  int8: [
    { threads: 512, together: 2, unroll: 2 },
    { threads: 1024, together: 1, unroll: 2 },
    { threads: 256, together: 2, unroll: 1, lanes: 8 },
    { threads: 256, together: 2, unroll: 2 },
  ],
  int4: [
    { threads: 512, together: 1, unroll: 4 },
    { threads: 1024, together: 1, unroll: 2 },
    { threads: 512, together: 2, unroll: 2 },
    { threads: 512, together: 1, unroll: 2 },
    { threads: 256, together: 2, unroll: 2 },
  ],
};

function tile(
  [rows, outputs, depth]: readonly [number, number, number],
  [down, across, along]: readonly [number, number, number],
  ahead: number,
): Tile {
  return { rows, outputs, depth, down, across, along, ahead };
}

const byRows: readonly { readonly most: number; readonly tiles: readonly Tile[] }[] = [
  {
    most: 16,
    tiles: [
      tile([16, 64, 128], [1, 2, 4], 2),
      tile([16, 16, 256], [1, 1, 8], 4),
      tile([16, 64, 256], [1, 2, 8], 2),
    ],
  },
  { most: 32, tiles: [tile([32, 32, 256], [1, 1, 8], 2), tile([32, 64, 128], [1, 2, 4], 2)] },
  {
    most: 64,
    tiles: [
      tile([64, 32, 128], [1, 1, 8], 2),
      tile([64, 64, 64], [2, 2, 2], 2),
      tile([64, 64, 128], [1, 2, 4], 2),
    ],
  },
  {
    most: Infinity,
    tiles: [
      tile([192, 128, 64], [4, 2, 1], 1),
      tile([128, 192, 64], [4, 2, 1], 1),
      tile([192, 128, 64], [3, 4, 1], 1),
      tile([128, 128, 64], [4, 2, 1], 1),
      tile([128, 128, 32], [2, 2, 1], 1),
    ],
  },
];

/** Tiles of `matrixGemm` for an input of so many rows, the likeliest first. From 3 rows on they beat `gemv`. */
export function matrixTiles(rows: number, gated = false): readonly Tile[] {
  const { tiles } = byRows.find(({ most }) => rows <= most)!;
  return gated ? tiles.filter(({ outputs, across }) => outputs % (32 * across) === 0) : tiles;
}
