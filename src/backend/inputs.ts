import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/recorder.ts";
import type { HostArray } from "./backend.ts";

/** Throws a `ShapeError` unless `inputs` has exactly the arrays that the graph names, each of its type and size. */
export function checkInputs(graph: Graph, inputs: Readonly<Record<string, HostArray>>): void {
  for (const [name, { storage }] of graph.inputs) {
    const array = inputs[name];
    const wanted = `${storage.type} [${storage.rows}, ${storage.columns}]`;
    if (!array) throw new ShapeError(`${graph.name}: input ${name} is missing, want ${wanted}`);
    const rightType =
      (storage.type === "f32" && array instanceof Float32Array) ||
      (storage.type === "u32" && array instanceof Uint32Array) ||
      (storage.type === "u8" && array instanceof Uint8Array);
    if (!rightType || array.length !== storage.rows * storage.columns) {
      const got = `${array.constructor.name} of ${array.length}`;
      throw new ShapeError(`${graph.name}: input ${name} is ${got}, want ${wanted}`);
    }
  }
  for (const name of Object.keys(inputs)) {
    if (!graph.inputs.has(name)) throw new ShapeError(`${graph.name}: there is no input ${name}`);
  }
}
