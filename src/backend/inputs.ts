import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/recorder.ts";
import type { Storage } from "../graph/tensor.ts";
import type { DeviceTensor, HostArray, Input, Rows } from "./backend.ts";

/** Throws a `ShapeError` unless `inputs` has exactly what the graph names, each of its type and size. */
export function checkInputs(graph: Graph, inputs: Readonly<Record<string, Input>>): void {
  for (const [name, { storage }] of graph.inputs) {
    const given = inputs[name];
    const wanted = `${storage.type} [${storage.rows}, ${storage.columns}]`;
    if (!given) throw new ShapeError(`${graph.name}: input ${name} is missing, want ${wanted}`);
    const problem = isRows(given) ? rowsProblem(given, storage) : arrayProblem(given, storage);
    if (problem) throw new ShapeError(`${graph.name}: input ${name} is ${problem}, want ${wanted}`);
  }
  for (const name of Object.keys(inputs)) {
    if (!graph.inputs.has(name)) throw new ShapeError(`${graph.name}: there is no input ${name}`);
  }
}

export function isRows(input: Input): input is readonly Rows[] {
  return Array.isArray(input);
}

export function isOnDevice(of: Rows["of"]): of is DeviceTensor {
  return !ArrayBuffer.isView(of);
}

function arrayProblem(array: HostArray, storage: Storage): string | undefined {
  const fits = isOfType(array, storage) && array.length === storage.rows * storage.columns;
  return fits ? undefined : `${array.constructor.name} of ${array.length}`;
}

function rowsProblem(pieces: readonly Rows[], { rows, columns, ...storage }: Storage): string | undefined {
  let all = 0;
  for (const { of, first, count } of pieces) {
    const width = isOnDevice(of) ? of.columns : columns;
    const there = isOnDevice(of) ? of.rows : of.length / columns;
    if (width !== columns || !(isOnDevice(of) || isOfType(of, storage))) return `made of rows of ${width}`;
    if (first < 0 || first + count > there) return `rows ${first} to ${first + count} of ${there}`;
    all += count;
  }
  return all === rows ? undefined : `${all} rows`;
}

function isOfType(array: HostArray, { type }: Pick<Storage, "type">): boolean {
  return (
    (type === "f32" && array instanceof Float32Array) ||
    (type === "u32" && array instanceof Uint32Array) ||
    (type === "u8" && array instanceof Uint8Array)
  );
}
