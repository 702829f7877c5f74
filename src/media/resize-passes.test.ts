import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as plain from "./resize-passes-plain.ts";
import { openResizePasses } from "./resize-passes-wasm.ts";

const fast = openResizePasses()!;

function noise(length: number, seed: number): Uint8Array {
  let state = seed | 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    // Extremes are what overflows and clamping are about.
    return state >>> 30 === 0 ? 255 : state >>> 30 === 1 ? 0 : state >>> 24;
  });
}

function hasClang(): boolean {
  try {
    execFileSync("clang-19", ["--version"], { stdio: "ignore" });
    execFileSync("wasm-ld-19", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("the resize in WebAssembly", () => {
  const size = fc.integer({ min: 1, max: 70 });

  it("makes the same bytes as the plain loops, at any size", () => {
    fc.assert(
      fc.property(size, size, size, fc.integer(), (width, height, outputs, seed) => {
        const data = noise(width * height * 3, seed);
        const across = fast.resizeAcross(data, width, height, outputs);
        expect(across).toEqual(plain.resizeAcross(data, width, height, outputs));
        const down = fast.resizeDown(data, width, height, outputs);
        expect(down).toEqual(plain.resizeDown(data, width, height, outputs));
      }),
      { numRuns: 200 },
    );
  });

  it("is told apart from other weights by that comparison", () => {
    const data = noise(40 * 30 * 3, 1);
    const wanted = plain.resizeAcross(data, 40, 30, 17);
    const shifted = fast.resizeAcross(
      data.map((_, i) => data[(i + 3) % data.length]),
      40,
      30,
      17,
    );
    expect(shifted).not.toEqual(wanted);
  });

  it("lets go of the memory that a very large picture took, and goes on", () => {
    const large = new Uint8Array(7000 * 7000 * 3).fill(255);
    expect(fast.resizeAcross(large, 7000, 7000, 5)).toHaveLength(7000 * 5 * 3);
    const data = noise(9 * 9 * 3, 3);
    expect(fast.resizeDown(data, 9, 9, 4)).toEqual(plain.resizeDown(data, 9, 9, 4));
  });

  it.skipIf(!hasClang())("is what the source gives", () => {
    const script = new URL("../../scripts/build-resize.mjs", import.meta.url).pathname;
    expect(execFileSync(process.execPath, [script, "--check"], { encoding: "utf8" })).toContain(
      "is what the source",
    );
  });
});
