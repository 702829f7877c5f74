import type { Fragments } from "./fragments.ts";
import { type ProductOptions, weightLayout } from "./product.ts";

/** See `matrixGemm`. */
export interface MatrixGemmOptions extends ProductOptions {
  /** How the input lies in memory; f16: two a u32, the first low. */
  readonly input: "f32" | "f16";
  /** How the output lies in memory. f16 only with `wide`. */
  readonly result?: "f32" | "f16";
  /**
   * Whether results are finished and written four columns at a time: outputs, strides and firsts of output and residual,
   * and `firstRow`, must be multiples of 4.
   */
  readonly wide?: boolean;
  readonly tile?: Tile;
  readonly fragments?: Fragments;
}

export interface Tile {
  /** Rows of the output, a multiple of 16 · down. */
  readonly rows: number;
  /** Rows of the weight, a multiple of 16 · across (32 · across if gated: half are gate's, half up's). */
  readonly outputs: number;
  /** Columns a step, a multiple of 16 · along. */
  readonly depth: number;
  readonly down: number;
  readonly across: number;
  readonly along: number;
  /** Steps on their way in registers. */
  readonly ahead: number;
}

/** Options with nothing left to be chosen. */
export type TiledOptions = MatrixGemmOptions & { readonly tile: Tile; readonly fragments: Fragments };

export const wideTile: Tile = {
  rows: 128,
  outputs: 128,
  depth: 32,
  down: 2,
  across: 2,
  along: 1,
  ahead: 1,
};

/** Numbers of the kernel that follow from its options. */
export function plan(o: TiledOptions) {
  const { tile } = o;
  const threads = tile.down * tile.across * tile.along * 32;
  const perRow = tile.depth / 8; // vec4u of eight f16 in a row of a step
  const { paddedColumns } = weightLayout(o.outputs, o.columns, o.format);
  const fragmentsDown = tile.rows / tile.down / 16;
  const leftItems = (tile.rows * perRow) / threads;
  const stride = perRow + 1; // an odd number of 16 bytes keeps the rows of a fragment in different banks
  return {
    threads,
    perRow,
    stride,
    /** vec4u of the left tile in workgroup memory, and of both. */
    leftWords: tile.rows * stride,
    tileWords: (tile.rows + tile.outputs) * stride,
    fragmentsDown,
    fragmentsAcross: tile.outputs / tile.across / 16,
    leftItems,
    /** Whether a tile of which no more than the upper half is inside can be left at that. */
    canHalve: fragmentsDown % 2 === 0 && leftItems % 2 === 0,
    rightItems: (tile.outputs * perRow) / threads,
    paddedColumns,
    steps: Math.ceil(paddedColumns / tile.depth),
    tileColumns: o.gated ? tile.outputs / 2 : tile.outputs,
  };
}
