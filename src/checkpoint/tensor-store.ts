/** What the rooms above know of a checkpoint's tensors. `openCheckpoint` makes one from safetensors files. */

export type DType = "BF16" | "F16" | "F32";

/** Where a tensor lies. `start` and `end` are byte offsets in `file`. */
export interface TensorInfo {
  name: string;
  dtype: DType;
  shape: readonly number[];
  file: string;
  start: number;
  end: number;
}

export interface TensorStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * The raw little-endian bytes of rows `firstRow … firstRow + rows - 1` of a tensor, seen as a matrix
   * `[shape[0], product of the rest]`. The bytes may be a view of a mapped file: never write to them.
   */
  readRows(name: string, firstRow: number, rows: number): Promise<Uint8Array>;
  /** The whole tensor widened to f32. For the small ones: norms, biases, embeddings of positions. */
  readFloats(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}
