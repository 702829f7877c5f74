import { readsOf } from "../../graph/operations.ts";
import { planMemory } from "../../graph/planner.ts";
import type { Graph } from "../../graph/recorder.ts";
import { bytesPerElement, type Storage } from "../../graph/tensor.ts";
import { alignUp } from "./memory.ts";

/** Where everything of a program lies in the arena: inputs and constants first, then activations. */
export interface ProgramLayout {
  /** Byte offset by storage id. */
  readonly offsets: ReadonlyMap<number, number>;
  /** Bytes of inputs and constants, which are written before each run. */
  readonly writtenBytes: number;
  readonly constants: readonly Storage[];
  /** Where scratch may begin. */
  readonly bytes: number;
  readonly arenaBytes: number;
}

export function layOut(graph: Graph): ProgramLayout {
  const plan = planMemory(graph);
  const offsets = new Map<number, number>();
  let end = 0;
  const place = (storage: Storage) => {
    offsets.set(storage.id, end);
    end = alignUp(end + storageBytes(storage));
  };
  for (const { storage } of graph.inputs.values()) place(storage);
  const constants = new Set(
    graph.operations
      .flatMap(readsOf)
      .map(({ storage }) => storage)
      .filter(({ kind }) => kind === "constant"),
  );
  constants.forEach(place);
  for (const [id, offset] of plan.offsets) offsets.set(id, end + offset);
  return {
    offsets,
    writtenBytes: end,
    constants: [...constants],
    bytes: end + plan.arenaBytes,
    arenaBytes: plan.arenaBytes,
  };
}

export function storageBytes({ rows, columns, type }: Storage): number {
  return rows * columns * bytesPerElement[type];
}
