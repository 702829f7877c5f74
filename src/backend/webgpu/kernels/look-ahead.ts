import { type Declared, range } from "./product.ts";
import { lines } from "./wgsl.ts";

/**
 * Looking up pages of memory before their time. Beyond some gigabytes of weights a device's tables of pages do not hold
 * all of them, and every product begins with waiting for its pages: on an H200, 13 us a layer from 8 GB on (SPEED.md). So
 * a product reads one word of each page of the weights that come after it, while it waits for its own; of the next two
 * products, for some are too short to look up all that the one behind them needs.
 */

/** Bytes of weights from which on it pays. */
export const farBytes = 2 ** 33;

/** Bytes between such words. Half the size of a page was better than a whole one or a quarter. */
const stride = 2 ** 20;

/** So many weights that come next, and `[workgroups]` u32 for what was read of them. */
export function lookAheadBindings(weights: number): readonly Declared[] {
  const upcoming = range(weights).map((i): Declared => [`upcoming${i}`, "read", "array<vec4u>"]);
  return [...upcoming, ["lookedUp", "write", "array<u32>"]];
}

/** At the beginning of a kernel whose workgroups are numbered by `workgroup`. */
export function lookAheadText(weights: number, workgroup: string): string {
  return `let upcomingAt = ${workgroup} * ${stride / 16}u;
  var upcoming = 0u;
  if (thread == 0u) {
    ${lines(weights, (i) => `if (upcomingAt < arrayLength(&upcoming${i})) { upcoming ^= upcoming${i}[upcomingAt].x; }`)}
  }`;
}

/** At its end: what is read for nothing, a compiler leaves out. */
export function lookedUpText(workgroup: string): string {
  return `if (thread == 0u) { lookedUp[${workgroup}] = upcoming; }`;
}
