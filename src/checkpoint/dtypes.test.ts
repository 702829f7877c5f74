import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../errors.ts";
import { roundToBf16, widen } from "./dtypes.ts";

const bits = (floats: Float32Array) => [...new Uint32Array(floats.buffer, floats.byteOffset, floats.length)];

/** The bytes of 16-bit patterns, starting `shift` bytes into their buffer. */
function bytesOf(patterns: Uint16Array, shift = 0): Uint8Array {
  const bytes = new Uint8Array(patterns.byteLength + shift);
  bytes.set(new Uint8Array(patterns.buffer), shift);
  return bytes.subarray(shift);
}

const allPatterns = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** IEEE 754 half precision read digit by digit. */
function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half & 0x7c00) / 1024;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  return (sign * (1024 + fraction) * 2 ** exponent) / 2 ** 25;
}

describe("widen", () => {
  it("puts every bf16 pattern into the upper half of an f32", () => {
    const wanted = [...allPatterns].map((pattern) => (pattern << 16) >>> 0);
    expect(bits(widen("BF16", bytesOf(allPatterns)))).toEqual(wanted);
    expect(bits(widen("BF16", bytesOf(allPatterns, 1)))).toEqual(wanted);
  });

  it("reads every f16 pattern: subnormal, infinite and NaN too", () => {
    for (const shift of [0, 1]) {
      const floats = widen("F16", bytesOf(allPatterns, shift));
      const wrong = [...allPatterns].filter((half) => !Object.is(floats[half], halfToNumber(half)));
      expect(wrong).toEqual([]);
    }
    // A reading that flushes subnormals would be found out.
    expect(halfToNumber(1)).toBe(2 ** -24);
    expect(widen("F16", bytesOf(Uint16Array.of(1, 0x3c00, 0xc000, 0x7bff)))).toEqual(
      Float32Array.of(2 ** -24, 1, -2, 65504),
    );
  });

  it("copies f32 from any offset", () => {
    const floats = Float32Array.of(1, -0, 1e-45, Number.POSITIVE_INFINITY, 3.5);
    const bytes = new Uint8Array(floats.byteLength + 3);
    bytes.set(new Uint8Array(floats.buffer), 3);
    const copy = widen("F32", bytes.subarray(3));
    expect(bits(copy)).toEqual(bits(floats));
    copy[0] = 7;
    expect(widen("F32", bytes.subarray(3))[0]).toBe(1);
  });

  it("copies f32 out of a Node buffer", () => {
    const buffer = Buffer.from(Float32Array.of(2, 4).buffer);
    widen("F32", buffer)[0] = 9;
    expect(buffer.readFloatLE(0)).toBe(2);
  });

  it("refuses bytes that end inside a value", () => {
    expect(() => widen("BF16", new Uint8Array(3))).toThrow(ShapeError);
    expect(() => widen("F32", new Uint8Array(6))).toThrow("6 bytes are no whole number of F32 values");
  });
});

describe("roundToBf16", () => {
  it("leaves what is a bf16 already", () => {
    for (const value of widen("BF16", bytesOf(allPatterns))) expect(roundToBf16(value)).toBe(value);
  });

  it("goes to the nearest, and to the even one of two", () => {
    expect(roundToBf16(1 + 2 ** -8)).toBe(1);
    expect(roundToBf16(1 + 3 * 2 ** -8)).toBe(1 + 2 ** -6);
    expect(roundToBf16(1 + 2 ** -8 + 2 ** -20)).toBe(1 + 2 ** -7);
    expect(roundToBf16(3.4e38)).toBe(Number.POSITIVE_INFINITY);
    expect(roundToBf16(-3.4e38)).toBe(Number.NEGATIVE_INFINITY);
    expect(roundToBf16(Number.NaN)).toBeNaN();
    expect(Object.is(roundToBf16(-1e-45), -0)).toBe(true);
  });

  it("is never farther than any bf16 neighbour", () => {
    const word = new Uint32Array(1);
    const float = new Float32Array(word.buffer);
    const at = (pattern: number) => {
      word[0] = pattern;
      return float[0];
    };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xff7fffff }), (pattern) => {
        const value = at(pattern >>> 0);
        if (!Number.isFinite(value)) return;
        const down = at((pattern & 0xffff0000) >>> 0);
        const up = at(((pattern & 0xffff0000) + 0x10000) >>> 0);
        const rounded = roundToBf16(value);
        expect([down, up]).toContain(rounded);
        // Next to the largest bf16 the upper neighbour counts as 2^128, as in IEEE rounding.
        const reach = (x: number) => Math.abs((Number.isFinite(x) ? x : Math.sign(x) * 2 ** 128) - value);
        expect(reach(rounded)).toBe(Math.min(reach(down), reach(up)));
        // Cutting the lower half off instead would be found out.
        if (reach(up) < reach(down)) expect(rounded).not.toBe(down);
      }),
      { numRuns: 5000 },
    );
  });
});
