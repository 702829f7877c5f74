import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleanUpSpaces, safeCleanUpCut } from "./clean-up.ts";

describe("cleanUpSpaces", () => {
  it("takes the space in front of punctuation and contractions, once each, in the published order", () => {
    expect(cleanUpSpaces("it 's a test , is n't it ? yes ! no .")).toBe("it's a test, isn't it? yes! no.");
    expect(cleanUpSpaces("I 'm we 've they 're rock ' roll")).toBe("I'm we've they're rock'roll");
    expect(cleanUpSpaces("a  . b  'll")).toBe("a . b  'll");
    expect(cleanUpSpaces("x  ' s")).toBe("x's");
  });
});

describe("safeCleanUpCut", () => {
  const text = fc
    .array(fc.constantFrom(" ", " ", "'", "n", "t", "s", "v", "e", "r", "m", ".", ",", "?", "!", "x", "\n"), {
      maxLength: 24,
    })
    .map((parts) => parts.join(""));
  /** Cleaning both sides of the cut alone gives the same as cleaning the whole. */
  const isSafe = (before: string, after: string, cut: number) =>
    cleanUpSpaces(before.slice(0, cut)) + cleanUpSpaces(before.slice(cut) + after) ===
    cleanUpSpaces(before + after);

  it("finds a place that no replacement reaches across, whatever follows", () => {
    fc.assert(
      fc.property(text, text, (before, after) => isSafe(before, after, safeCleanUpCut(before))),
      { numRuns: 5000 },
    );
  });

  it("is needed: a cut one character later is not always safe", () => {
    const later = fc.property(text, text, (before, after) =>
      isSafe(before, after, Math.min(before.length, safeCleanUpCut(before) + 1)),
    );
    expect(fc.check(later, { numRuns: 5000 }).failed).toBe(true);
  });

  it("holds nothing back that is certain", () => {
    expect(safeCleanUpCut("never")).toBe(5);
    expect(safeCleanUpCut("a dog")).toBe(5);
    expect(safeCleanUpCut("a dog  n")).toBe(5);
  });
});
