import type { TensorStore } from "../checkpoint/tensor-store.ts";
import type { RowSlice, Weight } from "../graph/tensor.ts";

/** A whole checkpoint tensor as a parameter: `[shape[0], product of the rest]`. */
export function whole(store: TensorStore, tensor: string, use: Weight["use"] = "product"): Weight {
  const [rows, columns] = matrixShape(store, tensor);
  return { name: tensor, rows, columns, use, source: { slices: [{ tensor, firstRow: 0, rows }] } };
}

/** Some rows of checkpoint tensors, in the order given, as one parameter. */
export function assembled(store: TensorStore, name: string, slices: readonly RowSlice[]): Weight {
  const columns = matrixShape(store, slices[0].tensor)[1];
  return {
    name,
    rows: slices.reduce((sum, slice) => sum + slice.rows, 0),
    columns,
    use: "product",
    source: { slices },
  };
}

/** A table of rows worked out at load. */
export function computed(name: string, rows: number, columns: number, values: Float32Array): Weight {
  return { name, rows, columns, use: "rows", source: { values } };
}

function matrixShape(store: TensorStore, tensor: string): [rows: number, columns: number] {
  const [rows, ...rest] = store.tensors.get(tensor)!.shape;
  return [rows, rest.reduce((product, size) => product * size, 1)];
}
