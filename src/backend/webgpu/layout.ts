import { readsOf } from "../../graph/operations.ts";
import { planMemory } from "../../graph/planner.ts";
import type { Graph } from "../../graph/recorder.ts";
import { bytesPerElement, type Storage } from "../../graph/tensor.ts";
import { readsWithTurning } from "./lower/turning.ts";
import { alignUp } from "./memory.ts";

/** Inputs of more bytes than this are written one by one, from where the caller has them. */
const smallBytes = 2 ** 16;

/** Where everything of a program lies in the arena: small inputs and constants, large inputs, activations. */
export interface ProgramLayout {
  /** Byte offset by storage id. */
  readonly offsets: ReadonlyMap<number, number>;
  /** Bytes of small inputs and constants, which are written together before each run. */
  readonly writtenBytes: number;
  readonly constants: readonly Storage[];
  /** Where scratch may begin. */
  readonly bytes: number;
  readonly arenaBytes: number;
}

export function layOut(graph: Graph): ProgramLayout {
  const plan = planMemory(graph, readsWithTurning(graph.operations));
  const offsets = new Map<number, number>();
  let end = 0;
  const place = (storage: Storage) => {
    offsets.set(storage.id, end);
    end = alignUp(end + storageBytes(storage));
  };
  const inputs = [...graph.inputs.values()].map(({ storage }) => storage);
  const isSmall = (storage: Storage) => storageBytes(storage) <= smallBytes;
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
  for (const [id, offset] of plan.offsets) offsets.set(id, end + offset);
  return {
    offsets,
    writtenBytes,
    constants: [...constants],
    bytes: end + plan.arenaBytes,
    arenaBytes: plan.arenaBytes,
  };
}

export function storageBytes({ rows, columns, type }: Pick<Storage, "rows" | "columns" | "type">): number {
  return rows * columns * bytesPerElement[type];
}
