import type { Dispatch, Place } from "./dispatch.ts";

/** One way to compute something. */
export interface Variant {
  readonly name: string;
  build(): Dispatch[];
}

/** What can be computed in several ways, all of which write the same output from the same inputs. */
export interface Choice {
  /** Same name, same choice. */
  readonly name: string;
  /** f32 activations among what is read. */
  readonly inputs: readonly Place[];
  readonly output: Place;
  /** Of those that run on the device, the likeliest first; the last runs everywhere and is the measure of the others. */
  readonly variants: readonly Variant[];
}
