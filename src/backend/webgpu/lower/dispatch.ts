import type { Tensor, Weight } from "../../../graph/tensor.ts";
import type { Precision } from "../../backend.ts";
import type { CacheType } from "../cache.ts";
import type { WebGpuDevice } from "../device.ts";
import type { Kernel, Workgroups } from "../kernel.ts";
import type { PlacedWeight } from "../weights.ts";
import type { Choice } from "./variant.ts";

/** Where a binding finds its bytes. */
export type Place =
  /** A range of the memory that programs share: inputs, constants, activations, scratch. */
  | { readonly in: "arena"; readonly offset: number; readonly bytes: number }
  | { readonly in: "buffer"; readonly buffer: GPUBuffer }
  | { readonly in: "cache"; readonly part: "keys" | "values"; readonly layer: number }
  | { readonly in: "status"; readonly word: StatusWord };

/** What a kernel can report: an id beyond its table, or an activation beyond f16. */
export const statusWords = { badId: 0, overflow: 1 } as const;
export type StatusWord = (typeof statusWords)[keyof typeof statusWords];

/** A word of the uniform. */
export type SizeWord = number | { readonly f32: number };

/** One dispatch of a kernel: its bindings but the uniform, and the words of that. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly places: readonly Place[];
  readonly sizes: readonly SizeWord[];
  readonly workgroups: Workgroups;
}

/** What an operation's lowering knows of where things are, and what the device can do. */
export interface Lowering {
  readonly device: WebGpuDevice;
  readonly precision: Precision;
  readonly cacheType: CacheType;
  /** Only kernels that run everywhere and whose results need no second look. */
  readonly portable: boolean;
  /** Whether operands may be rounded to f16 for the device's matrix units. */
  readonly mayRound: boolean;
  /** Whether there are so many weights that products look up the pages of those that come next: see look-ahead.ts. */
  readonly looksAhead: boolean;
  place(tensor: Tensor): Place;
  /** Whether a tensor is kept in f16, two a u32, the first low. Otherwise as the graph says. */
  isHalf(tensor: Tensor): boolean;
  weight(weight: Weight): PlacedWeight;
  /** A vector or table in f32. */
  vector(weight: Weight): Place;
  /** Memory of one operation's own, `bytes` long; each call gives another range. */
  scratch(bytes: number): Place;
  /** The dispatches of one of the variants. */
  choose(choice: Choice): Dispatch[];
}

export const status = (word: StatusWord): Place => ({ in: "status", word });
export const inBuffer = (buffer: GPUBuffer): Place => ({ in: "buffer", buffer });

/** Stride and first element of a tensor in its storage. */
export function strides(tensor: Tensor): [stride: number, first: number] {
  return [tensor.storage.columns, tensor.firstColumn];
}

/** Whether rows of a tensor begin at multiples of four elements. */
export function isAligned({ storage, firstColumn }: Tensor): boolean {
  return storage.columns % 4 === 0 && firstColumn % 4 === 0;
}
