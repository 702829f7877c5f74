import type { ReferenceCache } from "./cache.ts";
import { dot, type Matrix, rowOf } from "./matrix.ts";

/** One head of one query row: `softmax(q · kᵀ / √d) · v` over the given keys and values, into `output`. */
function attend(
  query: Float32Array,
  keys: readonly Float32Array[],
  values: readonly Float32Array[],
  count: number,
  weights: Float64Array,
  output: Float32Array,
): void {
  const scale = 1 / Math.sqrt(query.length);
  let largest = -Infinity;
  for (let j = 0; j < count; j++) {
    weights[j] = dot(query, keys[j]) * scale;
    if (weights[j] > largest) largest = weights[j];
  }
  let total = 0;
  for (let j = 0; j < count; j++) {
    weights[j] = Math.exp(weights[j] - largest);
    total += weights[j];
  }
  output.fill(0);
  for (let j = 0; j < count; j++) {
    const weight = weights[j] / total;
    const value = values[j];
    for (let i = 0; i < output.length; i++) output[i] += weight * value[i];
  }
}

/** Full attention inside each group of rows: see `Attention`. */
export function attention(
  query: Matrix,
  key: Matrix,
  value: Matrix,
  { heads, headSize, groupRows }: { heads: number; headSize: number; groupRows: number },
  output: Matrix,
): void {
  const weights = new Float64Array(groupRows);
  for (let first = 0; first < query.rows; first += groupRows) {
    for (let head = 0; head < heads; head++) {
      const part = (matrix: Matrix, n: number) =>
        rowOf(matrix, n).subarray(head * headSize, (head + 1) * headSize);
      const keys = Array.from({ length: groupRows }, (_, j) => part(key, first + j));
      const values = Array.from({ length: groupRows }, (_, j) => part(value, first + j));
      for (let n = first; n < first + groupRows; n++) {
        attend(part(query, n), keys, values, groupRows, weights, part(output, n));
      }
    }
  }
}

/** Causal attention over the pages of each sequence: see `PagedAttention`. */
export function pagedAttention(
  query: Matrix,
  batch: { starts: Matrix<Uint32Array>; lengths: Matrix<Uint32Array>; pages: Matrix<Uint32Array> },
  { layer, heads }: { layer: number; heads: number },
  cache: ReferenceCache,
  output: Matrix,
): void {
  const { keyValueHeads, headSize, pageSize } = cache.layout;
  const sharing = heads / keyValueHeads;
  for (let b = 0; b < batch.lengths.rows; b++) {
    const start = batch.starts.data[batch.starts.start + b];
    const end = batch.starts.data[batch.starts.start + b + 1];
    const length = batch.lengths.data[batch.lengths.start + b];
    const weights = new Float64Array(length);
    const slotOf = (position: number) => {
      const page =
        batch.pages.data[batch.pages.start + b * batch.pages.stride + Math.floor(position / pageSize)];
      return page * pageSize + (position % pageSize);
    };
    for (let kvHead = 0; kvHead < keyValueHeads; kvHead++) {
      const part = (row: Float32Array) => row.subarray(kvHead * headSize, (kvHead + 1) * headSize);
      const keys = Array.from({ length }, (_, position) => part(cache.key(layer, slotOf(position))));
      const values = Array.from({ length }, (_, position) => part(cache.value(layer, slotOf(position))));
      for (let n = start; n < end; n++) {
        const visible = length - (end - start) + (n - start) + 1;
        for (let head = kvHead * sharing; head < (kvHead + 1) * sharing; head++) {
          const columns = (matrix: Matrix) =>
            rowOf(matrix, n).subarray(head * headSize, (head + 1) * headSize);
          attend(columns(query), keys, values, visible, weights, columns(output));
        }
      }
    }
  }
}
