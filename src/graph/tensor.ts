/** Values of a graph: matrices, row-major, tokens down and features across. */

export type ElementType = "f32" | "u32" | "u8";

export const bytesPerElement: Readonly<Record<ElementType, number>> = { f32: 4, u32: 4, u8: 1 };

/**
 * Where the elements of a tensor live.
 * `input`: written by the caller before each run. `constant`: fixed when the graph is recorded.
 * `activation`: made by an operation and placed by the planner.
 */
export interface Storage {
  readonly id: number;
  readonly kind: "input" | "constant" | "activation";
  readonly type: ElementType;
  readonly rows: number;
  readonly columns: number;
  /** The elements of a constant. */
  readonly values?: Float32Array | Uint32Array;
}

/** A matrix `[rows, columns]`: all of a storage, or a run of its columns (`firstColumn`), without a copy. */
export interface Tensor {
  readonly storage: Storage;
  readonly rows: number;
  readonly columns: number;
  readonly firstColumn: number;
}

/** Rows `firstRow … firstRow + rows - 1` of a checkpoint tensor seen as `[shape[0], product of the rest]`. */
export interface RowSlice {
  readonly tensor: string;
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * A parameter `[rows, columns]`; a vector is `[n, 1]`. Rows come from the checkpoint, slice after slice, in whatever
 * order the network wants them (so that every family's q, k and v stand as `[q | k | v]`), or are values worked out
 * at load.
 */
export interface Weight {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** What reads it: a product with its rows, or single rows looked up (vectors are neither: their columns are 1). */
  readonly use: "product" | "rows";
  readonly source: { readonly slices: readonly RowSlice[] } | { readonly values: Float32Array };
}

/** How keys and values are kept: pages of `pageSize` tokens, each `[pageSize, keyValueHeads * headSize]` a layer. */
export interface CacheLayout {
  readonly layers: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly pageSize: number;
}
