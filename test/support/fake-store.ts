import type { TensorStore } from "../../src/checkpoint/tensor-store.ts";

/**
 * A checkpoint of f32 tensors that takes no memory: element `column` of row `row`, seen as a matrix
 * `[shape[0], product of the rest]`, is what `value` says (0 if not given).
 */
export function fakeStore(
  shapes: ReadonlyMap<string, readonly number[]>,
  value: (tensor: string, row: number, column: number) => number = () => 0,
): TensorStore {
  const floats = (name: string, firstRow: number, rows: number): Float32Array<ArrayBuffer> => {
    const shape = shapes.get(name);
    if (!shape) throw new Error(`there is no tensor ${name}`);
    const columns = shape.slice(1).reduce((product, size) => product * size, 1);
    return Float32Array.from({ length: rows * columns }, (_, i) =>
      value(name, firstRow + Math.floor(i / columns), i % columns),
    );
  };
  return {
    tensors: new Map(
      [...shapes].map(([name, shape]) => [
        name,
        { name, dtype: "F32", shape, file: "model.safetensors", start: 0, end: 0 },
      ]),
    ),
    readRows: async (name, firstRow, rows) => new Uint8Array(floats(name, firstRow, rows).buffer),
    readFloats: async (name) => floats(name, 0, shapes.get(name)![0]),
    close: async () => {},
  };
}
