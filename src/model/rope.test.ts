import { describe, expect, it } from "vitest";
import "../../test/support/to-be-allclose.ts";
import type { RopeDescription } from "../checkpoint/description.ts";
import { createRope } from "./rope.ts";

function angles(
  rope: RopeDescription,
  headSize: number,
  position: number,
  length = position + 1,
): Float32Array {
  const out = new Float32Array(headSize);
  createRope(rope, headSize).angles(position, length, out);
  return out;
}

/** Cosines and then sines of the angles given. */
function turns(values: number[], magnitude = 1): number[] {
  return [...values.map(Math.cos), ...values.map(Math.sin)].map((x) => x * magnitude);
}

describe("plain", () => {
  const rope: RopeDescription = { kind: "plain", theta: 10000 };

  it("turns pair i by position · theta^(-2i/d)", () => {
    expect(angles(rope, 8, 3)).toBeAllclose(turns([3, 0.3, 0.03, 0.003]), { within: 1e-7 });
    expect(angles(rope, 8, 3)).not.toBeAllclose(turns([3, 0.31, 0.03, 0.003]), { within: 1e-4 });
    expect(angles(rope, 4, 0)).toEqual(Float32Array.of(1, 1, 0, 0));
  });

  it("does not depend on the sequence's length", () => {
    expect(createRope(rope, 8).variant(5)).toBe(createRope(rope, 8).variant(500000));
    expect(angles(rope, 8, 3, 100000)).toEqual(angles(rope, 8, 3));
  });

  it("keeps its precision at far positions", () => {
    // Angles in f32 would be off by thousandths here.
    const [cos] = angles({ kind: "plain", theta: 1e6 }, 2, 100003);
    expect(cos).toBeCloseTo(Math.cos(100003), 6);
  });
});

describe("linear", () => {
  it("divides positions by the factor", () => {
    const rope: RopeDescription = { kind: "linear", theta: 10000, factor: 4 };
    expect(angles(rope, 8, 12)).toBeAllclose(angles({ kind: "plain", theta: 10000 }, 8, 3), { within: 1e-7 });
  });
});

describe("dynamic", () => {
  const rope: RopeDescription = { kind: "dynamic", theta: 10000, factor: 2, originalLength: 100 };
  const plain: RopeDescription = { kind: "plain", theta: 10000 };

  it("is plain up to M tokens, M included", () => {
    expect(angles(rope, 8, 99, 100)).toEqual(angles(plain, 8, 99));
    expect(createRope(rope, 8).variant(100)).toBe(createRope(rope, 8).variant(1));
  });

  it("grows its base beyond", () => {
    // factor · L / M - (factor - 1) = 2 · 150 / 100 - 1 = 2, to the power of 8 / 6
    const theta = 10000 * 2 ** (8 / 6);
    const want = [0, 1, 2, 3].map((i) => 7 * theta ** (-i / 4));
    expect(angles(rope, 8, 7, 150)).toBeAllclose(turns(want), { within: 1e-7 });
    expect(angles(rope, 8, 7, 150)).not.toBeAllclose(angles(plain, 8, 7), { within: 1e-3 });
  });

  it("has frequencies of its own for each length beyond M, and goes back below", () => {
    const one = createRope(rope, 8);
    const of = (position: number, length: number) => {
      const out = new Float32Array(8);
      one.angles(position, length, out);
      return out;
    };
    expect(new Set([100, 101, 102].map((length) => one.variant(length))).size).toBe(3);
    const before = of(7, 50);
    const [longer, longest] = [of(7, 150), of(7, 200)];
    expect(longer).not.toEqual(longest);
    expect(of(7, 150)).toEqual(longer);
    expect(of(7, 50)).toEqual(before);
  });
});

describe("longrope", () => {
  const rope: RopeDescription = {
    kind: "longrope",
    theta: 10000,
    shortFactors: [1, 2],
    longFactors: [4, 8],
    originalLength: 4096,
    magnitude: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
  };

  it("divides frequencies by the short factors up to M tokens, by the long ones beyond", () => {
    const m = 1.190238;
    expect(angles(rope, 4, 5, 4096)).toBeAllclose(turns([5, 0.05 / 2], m), { within: 1e-6 });
    expect(angles(rope, 4, 5, 4097)).toBeAllclose(turns([5 / 4, 0.05 / 8], m), { within: 1e-6 });
    // Without the magnitude it is something else.
    expect(angles(rope, 4, 5, 4096)).not.toBeAllclose(turns([5, 0.05 / 2]), { within: 1e-2 });
  });

  it("has two sets of frequencies", () => {
    const { variant } = createRope(rope, 4);
    expect(variant(1)).toBe(variant(4096));
    expect(variant(4097)).toBe(variant(131072));
    expect(variant(4096)).not.toBe(variant(4097));
  });

  it("turns by position 0 into the magnitude alone", () => {
    expect(angles(rope, 4, 0)).toBeAllclose([rope.magnitude, rope.magnitude, 0, 0], { within: 1e-6 });
  });
});
