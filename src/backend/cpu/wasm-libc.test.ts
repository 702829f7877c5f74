import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hostFunctions } from "./wasm-module.ts";

type Function1 = (x: number) => number;

const memory = new WebAssembly.Memory({ initial: 32, maximum: 65536, shared: true });
const bytes = readFileSync(new URL("./wasm/internvl.wasm", import.meta.url));
const { instance } = await WebAssembly.instantiate(bytes, { env: { memory }, host: hostFunctions });
const library = instance.exports as unknown as Record<"exp" | "expf" | "log" | "logf" | "erff", Function1> & {
  ldexpf(x: number, exponent: number): number;
};

/** Numbers from `least` to `most`, dense and uneven. */
function* between(least: number, most: number, count = 20_000): Generator<number> {
  for (let i = 0; i <= count; i++) yield least + ((most - least) * (i + Math.sin(i) / 2)) / count;
}

/** The distance to the next double, or the next f32. */
function unit(x: number, bits: 24 | 53): number {
  const least = bits === 24 ? -149 : -1074;
  return 2 ** Math.max(Math.floor(Math.log2(Math.abs(x))) - bits + 1, least);
}

/** The largest error in units of the last place. */
function worst(got: Function1, wanted: Function1, xs: Iterable<number>, bits: 24 | 53): number {
  let most = 0;
  for (const exact of xs) {
    const x = bits === 24 ? Math.fround(exact) : exact;
    const want = wanted(x);
    most = Math.max(most, Math.abs(got(x) - want) / unit(want || 1, bits));
  }
  return most;
}

/** 2 / sqrt(pi) e^(-x²) sum 2^n x^(2n + 1) / (2n + 1)!!, all terms of one sign (Abramowitz and Stegun, 7.1.6). */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-20 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

describe("the C library of the WebAssembly kernels", () => {
  it("exp and log, in double precision", () => {
    expect(worst(library.exp, Math.exp, between(-700, 709), 53)).toBeLessThan(2.5);
    expect(worst(library.log, Math.log, between(1e-3, 4), 53)).toBeLessThan(2.5);
    expect(worst(library.log, Math.log, between(1, 1e300), 53)).toBeLessThan(2.5);
    expect(library.exp(-740)).toBeCloseTo(Math.exp(-740), 322);
    expect(library.log(2 ** -1070)).toBe(Math.log(2 ** -1070));
  });

  it("expf, logf and erff, in single precision", () => {
    expect(worst(library.expf, Math.exp, between(-87, 88), 24)).toBeLessThan(0.51);
    expect(worst(library.logf, Math.log, between(1e-3, 1000), 24)).toBeLessThan(0.51);
    expect(worst(library.erff, erf, between(-4, 4), 24)).toBeLessThan(0.51);
    // The check can fail.
    expect(worst((x) => library.expf(x) * (1 + 2 ** -22), Math.exp, between(-87, 88), 24)).toBeGreaterThan(2);
  });

  it("the ends of the range", () => {
    const ends = (f: Function1) => [f(-Infinity), f(Infinity), f(Number.NaN)];
    expect(ends(library.exp)).toEqual([0, Infinity, Number.NaN]);
    expect(ends(library.expf)).toEqual([0, Infinity, Number.NaN]);
    expect(ends(library.erff)).toEqual([-1, 1, Number.NaN]);
    expect(ends(library.log)).toEqual([Number.NaN, Infinity, Number.NaN]);
    expect([library.expf(-104.5), library.expf(-100), library.expf(89)]).toEqual([
      0,
      Math.fround(Math.exp(-100)),
      Infinity,
    ]);
    expect([library.log(0), library.log(-1), library.exp(0), library.erff(0)]).toEqual([
      -Infinity,
      Number.NaN,
      1,
      0,
    ]);
  });

  it("ldexpf scales", () => {
    expect(library.ldexpf(1536, -25)).toBe(1536 * 2 ** -25);
  });
});
