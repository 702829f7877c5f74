import { expect } from "vitest";

/** How far numbers may be from what is expected. Exactly one of the two. */
export type Tolerance =
  /** Absolute distance. */
  | { readonly within: number }
  /** Distance as a share of the range (largest less smallest) of the expected values. */
  | { readonly ofRange: number };

type Numbers = ArrayLike<number>;

declare module "vitest" {
  // biome-ignore lint/suspicious/noExplicitAny: the interface that is merged into has this default
  interface Matchers<T = any> {
    /** As many numbers, each as near as the tolerance says; a NaN is near to nothing. */
    toBeAllclose(expected: Numbers, tolerance: Tolerance): T;
  }
}

/** The largest distance between two lists of numbers; infinite when their lengths differ or a number is not one. */
export function largestDistance(actual: Numbers, expected: Numbers): number {
  if (actual.length !== expected.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const distance = actual[i] === expected[i] ? 0 : Math.abs(actual[i] - expected[i]);
    if (!(distance <= largest)) largest = Number.isNaN(distance) ? Infinity : distance;
  }
  return largest;
}

/** The largest distance as a share of the expected values' range. */
export function distanceOfRange(actual: Numbers, expected: Numbers): number {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < expected.length; i++) {
    low = Math.min(low, expected[i]);
    high = Math.max(high, expected[i]);
  }
  const distance = largestDistance(actual, expected);
  return distance === 0 ? 0 : distance / (high - low);
}

expect.extend({
  toBeAllclose(actual: Numbers, expected: Numbers, tolerance: Tolerance) {
    const share = "ofRange" in tolerance;
    const limit = share ? tolerance.ofRange : tolerance.within;
    const distance = share ? distanceOfRange(actual, expected) : largestDistance(actual, expected);
    const unit = share ? " of the range" : "";
    return {
      pass: distance <= limit,
      message: () =>
        actual.length === expected.length
          ? `numbers are up to ${distance}${unit} apart, the limit is ${limit}${unit}`
          : `there are ${actual.length} numbers, want ${expected.length}`,
    };
  },
});
