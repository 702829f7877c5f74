import type { Dispatch, Place } from "./dispatch.ts";

/** One way to compute something. */
export interface Variant {
  readonly name: string;
  /** Whether it rounds operands to f16, so that its results are those of another precision. */
  readonly rounds?: boolean;
  build(): Dispatch[];
}

/** What can be computed in several ways, all of which write the same output from the same inputs. */
export interface Choice {
  /** Same name, same choice. */
  readonly name: string;
  readonly output: Place;
  /** Whether the output is f16. */
  readonly isHalf: boolean;
  /** Of those that the device's features allow, the likeliest first; the last runs everywhere and judges the others. */
  readonly variants: readonly Variant[];
  /** What it reads that can not be any numbers: page tables and the like. */
  readonly numbers?: readonly (readonly [Place, Uint32Array<ArrayBuffer>])[];
  /** Bytes of keys, and as many of values, that it looks at. */
  readonly cacheBytes?: number;
}
