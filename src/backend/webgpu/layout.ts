import { readsOf } from "../../graph/operations.ts";
import { planMemory } from "../../graph/planner.ts";
import type { Graph } from "../../graph/recorder.ts";
import { bytesPerElement, type Storage } from "../../graph/tensor.ts";
import { statusWords } from "./lower/dispatch.ts";
import { readsWithTurning } from "./lower/turning.ts";
import { alignUp, bindingAlignment } from "./memory.ts";

/** Inputs of more bytes than this are written one by one, from where the caller has them. */
const smallBytes = 2 ** 16;

/** Bytes from one status word to the next: each is bound alone. */
export const statusStride = bindingAlignment;

/**
 * Where everything of a program lies in the arena: status words and small outputs, small inputs and constants, large
 * inputs, activations. Between two runs the device does little but copy, and waits for each copy: so all that is short is
 * written as one piece, and read as one.
 */
export interface ProgramLayout {
  /** Byte offset by storage id. */
  readonly offsets: ReadonlyMap<number, number>;
  /** Bytes of status words and small outputs, which are read together after each run. */
  readonly reportedBytes: number;
  /** Bytes that are written together before each run: those as zeros, small inputs and constants. */
  readonly writtenBytes: number;
  readonly constants: readonly Storage[];
  /** Where scratch may begin. */
  readonly bytes: number;
  readonly arenaBytes: number;
}

export function layOut(graph: Graph): ProgramLayout {
  const plan = planMemory(graph, readsWithTurning(graph.operations));
  const offsets = new Map<number, number>();
  let end = statusStride * Object.keys(statusWords).length;
  const place = (storage: Storage) => {
    offsets.set(storage.id, end);
    end = alignUp(end + storageBytes(storage));
  };
  const inputs = [...graph.inputs.values()].map(({ storage }) => storage);
  const isSmall = (storage: Storage) => storageBytes(storage) <= smallBytes;
  const reported = [...graph.outputs]
    .filter(([name, { storage }]) => !graph.staying.has(name) && storage.kind === "activation")
    .map(([, { storage }]) => storage);
  new Set(reported.filter(isSmall)).forEach(place);
  const reportedBytes = end;
  inputs.filter(isSmall).forEach(place);
  const constants = new Set(
    graph.operations
      .flatMap(readsOf)
      .map(({ storage }) => storage)
      .filter(({ kind }) => kind === "constant"),
  );
  constants.forEach(place);
  const writtenBytes = end;
  for (const storage of inputs) if (!isSmall(storage)) place(storage);
  for (const [id, offset] of plan.offsets) if (!offsets.has(id)) offsets.set(id, end + offset);
  return {
    offsets,
    reportedBytes,
    writtenBytes,
    constants: [...constants],
    bytes: end + plan.arenaBytes,
    arenaBytes: plan.arenaBytes,
  };
}

export function storageBytes({ rows, columns, type }: Pick<Storage, "rows" | "columns" | "type">): number {
  return rows * columns * bytesPerElement[type];
}
