import type { Graph } from "../../graph/recorder.ts";
import type { PrepareOptions } from "../backend.ts";
import type { WebGpuBackend } from "./backend.ts";
import type { Dispatch, Lowering } from "./lower/dispatch.ts";
import { halvesOf } from "./lower/halves.ts";
import { lowerOperations } from "./lower/lower.ts";
import type { Choice, Variant } from "./lower/variant.ts";
import { alignUp } from "./memory.ts";
import { Trial } from "./variants.ts";

export interface Lowered {
  readonly dispatches: readonly Dispatch[];
  /** For each operation, the number of dispatches up to its end. */
  readonly ends: readonly number[];
  /** Of the arena, scratch included. */
  readonly bytes: number;
}

type Surroundings = Omit<Lowering, "scratch" | "choose" | "isHalf"> & { readonly firstScratch: number };

/** A choice that nothing is known of yet, and how its variants are built. */
interface Open {
  readonly choice: Choice;
  readonly build: (variant: Variant) => Dispatch[];
}

/** The dispatches of all operations. What can be computed in several ways is tried first, where that was not done before. */
export async function lowerAll(
  graph: Graph,
  backend: WebGpuBackend,
  surroundings: Surroundings,
  { signal, onProgress }: PrepareOptions = {},
): Promise<Lowered> {
  const { choices } = backend;
  await choices.recall();
  const open = new Map<string, Open>();
  const lowered = lowerOnce(graph, backend, surroundings, open);
  if (open.size === 0) return lowered;
  const total = open.size;
  let loaded = 0;
  onProgress?.({ phase: "compile", loaded, total });
  const kernels = [...open.values()].flatMap(({ choice, build }) => choice.variants.flatMap(build));
  // All at once: drivers compile on several threads.
  await Promise.allSettled(kernels.map(({ kernel }) => backend.pipelines.get(kernel)));
  const trial = new Trial(backend, lowered.bytes);
  try {
    for (const { choice, build } of open.values()) {
      signal?.throwIfAborted();
      choices.note(choice, build, await trial.fastest(choice, build));
      onProgress?.({ phase: "compile", loaded: ++loaded, total });
    }
  } finally {
    trial.dispose();
    await choices.keep();
  }
  return lowerOnce(graph, backend, surroundings, open);
}

function lowerOnce(
  graph: Graph,
  { choices }: WebGpuBackend,
  { firstScratch, ...surroundings }: Surroundings,
  open: Map<string, Open>,
): Lowered {
  let scratchEnd = firstScratch;
  let bytes = firstScratch;
  const halves = halvesOf(graph, surroundings);
  const lowering: Lowering = {
    ...surroundings,
    isHalf: ({ storage }) => halves.has(storage),
    place(tensor) {
      const place = surroundings.place(tensor);
      return place.in === "arena" && halves.has(tensor.storage)
        ? { ...place, bytes: place.bytes / 2 }
        : place;
    },
    scratch(size) {
      const offset = scratchEnd;
      scratchEnd = alignUp(scratchEnd + size);
      bytes = Math.max(bytes, scratchEnd);
      return { in: "arena", offset, bytes: size };
    },
    choose(choice) {
      const start = scratchEnd;
      const build = (variant: Variant) => {
        scratchEnd = start;
        return variant.build();
      };
      if (choice.variants.length === 1) return build(choice.variants[0]);
      const known = choices.find(choice, build);
      if (known === undefined && !open.has(choice.name)) open.set(choice.name, { choice, build });
      return build(choice.variants.find(({ name }) => name === known) ?? choice.variants[0]);
    },
  };
  const dispatches: Dispatch[] = [];
  const ends: number[] = [];
  lowerOperations(graph, lowering, (some) => {
    dispatches.push(...some);
    ends.push(dispatches.length);
    scratchEnd = firstScratch;
  });
  return { dispatches, ends, bytes };
}
