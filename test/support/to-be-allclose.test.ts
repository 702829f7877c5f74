import { describe, expect, it } from "vitest";
import { distanceOfRange, largestDistance } from "./to-be-allclose.ts";

describe("toBeAllclose", () => {
  it("takes what is near and rejects what is not", () => {
    expect([1, 2.001]).toBeAllclose([1, 2], { within: 0.01 });
    expect([1, 2.001]).not.toBeAllclose([1, 2], { within: 0.0001 });
    expect(() => expect([1, 2.1]).toBeAllclose([1, 2], { within: 0.01 })).toThrow(/apart/);
  });

  it("measures by the range of what is expected", () => {
    expect(distanceOfRange([0, 99], [0, 100])).toBeCloseTo(0.01);
    expect([0, 99]).toBeAllclose([0, 100], { ofRange: 0.011 });
    expect([0, 99]).not.toBeAllclose([0, 100], { ofRange: 0.009 });
  });

  it("rejects NaN, infinities that are not expected, and another length", () => {
    expect([Number.NaN]).not.toBeAllclose([0], { within: 1e9 });
    expect([0, Number.NaN, 0]).not.toBeAllclose([0, 0, 0], { within: 1e9 });
    expect([Infinity]).not.toBeAllclose([0], { within: 1e9 });
    expect([1]).not.toBeAllclose([1, 1], { within: 1e9 });
    expect(() => expect([1]).toBeAllclose([1, 1], { within: 1 })).toThrow("there are 1 numbers, want 2");
  });

  it("takes what is the same, infinities too", () => {
    expect(largestDistance([-Infinity, 3], [-Infinity, 3])).toBe(0);
    expect(distanceOfRange([5, 5], [5, 5])).toBe(0);
  });
});
