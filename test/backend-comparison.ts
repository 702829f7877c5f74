import type { Backend, HostArray } from "../src/backend/backend.ts";
import { CpuBackend } from "../src/backend/cpu/backend.ts";
import type { Machine } from "../src/backend/cpu/machine.ts";
import { openNativeMachine } from "../src/backend/cpu/native-machine.node.ts";
import { openMachine } from "../src/backend/cpu/open-machine.ts";
import { usableWasmVariants } from "../src/backend/cpu/wasm-module.ts";
import type { WeightFormat } from "../src/backend/cpu/weights.ts";
import { ReferenceBackend } from "../src/backend/reference/backend.ts";
import type { TensorInfo, TensorStore } from "../src/checkpoint/tensor-store.ts";
import { type Graph, Recorder } from "../src/graph/recorder.ts";
import type { CacheLayout, Weight } from "../src/graph/tensor.ts";

/** A repeatable source of numbers around zero, with a few far from it. */
export function randomFloats(count: number, seed: number, spread = 1): Float32Array {
  let state = seed >>> 0 || 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    const value = (next() + next() + next() - 1.5) * spread;
    return next() < 0.01 ? value * 8 : value;
  });
}

/** A checkpoint in memory: bf16 or f32 tensors by name, made up as they are asked for. */
export class MadeUpStore implements TensorStore {
  readonly tensors = new Map<string, TensorInfo>();
  readonly #values = new Map<string, Float32Array>();

  /** A parameter of random values, stored as `dtype`. */
  weight(
    name: string,
    rows: number,
    columns: number,
    {
      seed = name.length,
      dtype = "BF16" as "BF16" | "F32",
      use = "product" as Weight["use"],
      spread = 1,
    } = {},
  ): Weight {
    this.tensors.set(name, { name, dtype, shape: [rows, columns], file: "made up", start: 0, end: 0 });
    this.#values.set(name, randomFloats(rows * columns, seed, spread));
    return { name, rows, columns, use, source: { slices: [{ tensor: name, firstRow: 0, rows }] } };
  }

  readRows(name: string, firstRow: number, rows: number): Promise<Uint8Array> {
    const { shape, dtype } = this.tensors.get(name)!;
    const values = this.#values.get(name)!.slice(firstRow * shape[1], (firstRow + rows) * shape[1]);
    const words = new Uint32Array(values.buffer);
    return Promise.resolve(
      dtype === "F32"
        ? new Uint8Array(values.buffer)
        : new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer),
    );
  }

  readFloats(name: string): Promise<Float32Array> {
    return Promise.resolve(this.#values.get(name)!);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The variants of the native kernels that this machine runs; empty where they were not built. */
export async function nativeVariants(): Promise<string[]> {
  const usable: string[] = [];
  for (const variant of ["baseline", "avx2", "avx512", "avx512bf16", "amx"]) {
    const machine = await openNativeMachine({ variant, lanes: 1 }).catch(() => undefined);
    if (machine && !("absent" in machine)) usable.push(variant);
  }
  return usable;
}

/** The variants of the kernels that run here: native ones first, then those of WebAssembly. */
export async function kernelVariants(): Promise<string[]> {
  return [...(await nativeVariants()), ...usableWasmVariants()];
}

/** Machines by variant and lanes: the threads of WebAssembly take longer to start than most cases to run. */
const machines = new Map<string, Promise<Machine>>();

async function newMachine(variant: string, lanes: number): Promise<Machine> {
  const opened = await openMachine(variant, { lanes });
  if ("absent" in opened) throw new Error(opened.absent);
  return opened.machine;
}

/**
 * The cpu backend with one variant of its kernels, native or WebAssembly, or on a machine of one's own. Backends of the
 * same variant and lanes share their machine: do not dispose them.
 */
export async function cpuBackend(
  variant: string | Machine,
  precision: "fast" | "f32",
  { weights = "checkpoint" as WeightFormat | undefined, lanes = 2 } = {},
): Promise<CpuBackend> {
  if (typeof variant !== "string") return new CpuBackend(variant, precision, weights);
  const key = `${variant} ${lanes}`;
  const machine = machines.get(key) ?? newMachine(variant, lanes);
  machines.set(key, machine);
  return new CpuBackend(await machine, precision, weights);
}

export interface Case {
  readonly store: MadeUpStore;
  readonly graph: Graph;
  readonly inputs: Readonly<Record<string, HostArray>>;
  readonly cache?: { readonly layout: CacheLayout; readonly pages: number };
}

/** Records a graph with one call. */
export function recorded(record: (g: Recorder) => void): Graph {
  const g = new Recorder("test");
  record(g);
  return g.finish();
}

/** Runs a case on a backend. */
export async function runCase(
  backend: Backend,
  { store, graph, inputs, cache }: Case,
): Promise<Record<string, Float32Array | Uint32Array>> {
  const weights = await backend.loadWeights(graph.weights, store, {});
  const pages = cache && backend.createCache(cache.layout, cache.pages);
  const program = await backend.prepare(graph, weights);
  try {
    return await program.run(inputs, { cache: pages });
  } finally {
    program.dispose();
    pages?.dispose();
    weights.dispose();
  }
}

/** The plain backend's answer to a case, the truth that kernels are held to. */
export function reference(of: Case, precision: "fast" | "f32" = "f32") {
  return runCase(new ReferenceBackend(precision), of);
}

/** The largest difference, as a share of the range of what is wanted. NaN anywhere counts as infinitely far. */
export function relativeDifference(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (got.length !== wanted.length) return Infinity;
  let least = Infinity;
  let most = -Infinity;
  let difference = 0;
  for (let i = 0; i < wanted.length; i++) {
    least = Math.min(least, wanted[i]);
    most = Math.max(most, wanted[i]);
    const apart = Math.abs(got[i] - wanted[i]);
    if (!(apart <= difference)) difference = Number.isNaN(apart) ? Infinity : apart;
  }
  return difference / Math.max(most - least, 1e-30);
}
