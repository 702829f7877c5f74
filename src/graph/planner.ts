import { readsOf, writesOf } from "./operations.ts";
import type { Graph } from "./recorder.ts";
import { bytesPerElement, type Storage, type Tensor } from "./tensor.ts";

/** Where each activation of a graph lies in one arena. */
export interface Plan {
  /** Byte offset of each activation, by storage id. */
  readonly offsets: ReadonlyMap<number, number>;
  /** The size of the arena: known before anything runs. */
  readonly arenaBytes: number;
  /** The most bytes that are alive at once: no arena could be smaller. */
  readonly liveBytes: number;
}

/** WebGPU's `minStorageBufferOffsetAlignment`, and a multiple of every cache line. */
const alignment = 256;

interface Life {
  readonly storage: Storage;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/**
 * Places activations so that two overlap in memory only if they are never alive together: largest first, each at the
 * lowest gap that fits. Outputs stay alive to the end of the program.
 * @param reads what each operation reads, by its number, where a backend reads more than the operation says
 */
export function planMemory(
  graph: Graph,
  reads: (step: number) => readonly Tensor[] = (step) => readsOf(graph.operations[step]),
): Plan {
  const lives = lifetimes(graph, reads);
  const placed: { life: Life; offset: number }[] = [];
  const offsets = new Map<number, number>();
  let arenaBytes = 0;
  for (const life of [...lives].sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    let offset = 0;
    for (const other of placed) {
      if (other.life.last < life.first || other.life.first > life.last) continue;
      if (offset + life.bytes <= other.offset) break;
      offset = Math.max(offset, other.offset + other.life.bytes);
    }
    const at = placed.findIndex((other) => other.offset > offset);
    placed.splice(at < 0 ? placed.length : at, 0, { life, offset });
    offsets.set(life.storage.id, offset);
    arenaBytes = Math.max(arenaBytes, offset + life.bytes);
  }
  return { offsets, arenaBytes, liveBytes: mostAlive(lives, graph.operations.length) };
}

/** The operations between which each activation is needed. */
function lifetimes(graph: Graph, reads: (step: number) => readonly Tensor[]): Life[] {
  const lives = new Map<number, { storage: Storage; first: number; last: number }>();
  graph.operations.forEach((operation, step) => {
    for (const { storage } of [...writesOf(operation), ...reads(step)]) {
      if (storage.kind !== "activation") continue;
      const life = lives.get(storage.id);
      if (life) life.last = step;
      else lives.set(storage.id, { storage, first: step, last: step });
    }
  });
  for (const { storage } of graph.outputs.values()) {
    const life = lives.get(storage.id);
    if (life) life.last = graph.operations.length - 1;
  }
  return [...lives.values()].map((life) => ({ ...life, bytes: alignedBytes(life.storage) }));
}

function mostAlive(lives: Life[], steps: number): number {
  const alive = new Float64Array(steps);
  for (const { bytes, first, last } of lives) {
    for (let step = first; step <= last; step++) alive[step] += bytes;
  }
  return alive.reduce((most, bytes) => Math.max(most, bytes), 0);
}

function alignedBytes({ rows, columns, type }: Storage): number {
  return Math.ceil((rows * columns * bytesPerElement[type]) / alignment) * alignment;
}
