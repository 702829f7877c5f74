import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hostFunctions } from "./wasm-module.ts";

type Function1 = (x: number) => number;

const memory = new WebAssembly.Memory({ initial: 32, maximum: 65536, shared: true });
const bytes = readFileSync(new URL("./wasm/internvl.wasm", import.meta.url));
const { instance } = await WebAssembly.instantiate(bytes, { env: { memory }, host: hostFunctions });
const library = instance.exports as unknown as {
  exp: Function1;
  log: Function1;
  ldexpf(x: number, exponent: number): number;
};

/** Numbers from `least` to `most`, dense and uneven. */
function* between(least: number, most: number, count = 20_000): Generator<number> {
  for (let i = 0; i <= count; i++) yield least + ((most - least) * (i + Math.sin(i) / 2)) / count;
}

/** The largest error in units of the last place, normal numbers only. */
function worst(got: Function1, wanted: Function1, xs: Iterable<number>): number {
  let most = 0;
  for (const x of xs) {
    const want = wanted(x);
    const unit = 2 ** (Math.floor(Math.log2(Math.abs(want || 1))) - 52);
    most = Math.max(most, Math.abs(got(x) - want) / unit);
  }
  return most;
}

describe("the C library of the WebAssembly kernels", () => {
  it("exp and log are right to 2.5 units in the last place", () => {
    expect(worst(library.exp, Math.exp, between(-700, 709))).toBeLessThan(2.5);
    expect(worst(library.log, Math.log, between(1e-3, 4))).toBeLessThan(2.5);
    expect(worst(library.log, Math.log, between(1, 1e300))).toBeLessThan(2.5);
    // The check can fail.
    expect(worst((x) => library.exp(x) * (1 + 2 ** -50), Math.exp, between(-1, 1))).toBeGreaterThan(2.5);
  });

  it("the ends of the range", () => {
    const ends = (f: Function1) => [f(-Infinity), f(Infinity), f(Number.NaN)];
    expect(ends(library.exp)).toEqual([0, Infinity, Number.NaN]);
    expect(ends(library.log)).toEqual([Number.NaN, Infinity, Number.NaN]);
    expect([library.log(0), library.log(-1), library.exp(0)]).toEqual([-Infinity, Number.NaN, 1]);
    // Subnormal numbers have few digits.
    expect(library.exp(-740) / Math.exp(-740)).toBeCloseTo(1, 1);
    expect(library.log(2 ** -1070)).toBe(Math.log(2 ** -1070));
  });

  it("ldexpf scales", () => {
    expect(library.ldexpf(1536, -25)).toBe(1536 * 2 ** -25);
  });
});
