import { describe, expect, it } from "vitest";
import { Hypotheses } from "./hypotheses.ts";

const rules = { numBeams: 2, lengthPenalty: 1, earlyStopping: false as boolean | "never", maxNewTokens: 10 };

describe("Hypotheses", () => {
  it("keeps the best by log-probability over length, and ranks them", () => {
    const kept = new Hypotheses(rules);
    kept.add([1, 2], -4, 2, "stop"); // -2
    kept.add([3], -1, 1, "stop"); // -1
    kept.add([4, 5, 6], -4.5, 3, "length"); // -1.5: takes the place of -2
    kept.add([7], -3, 1, "stop"); // too bad
    expect(kept.ranked().map(({ tokens, score }) => [tokens, score])).toEqual([
      [[3], -1],
      [[4, 5, 6], -1.5],
    ]);
  });

  it("a length penalty above 1 favours long ones, a negative one short ones", () => {
    const score = (lengthPenalty: number) => {
      const kept = new Hypotheses({ ...rules, lengthPenalty });
      kept.add([1, 2, 3, 4], -8, 4, "stop");
      kept.add([1], -2, 1, "stop");
      return kept.ranked().map(({ tokens }) => tokens.length);
    };
    expect(score(2)).toEqual([4, 1]);
    expect(score(-1)).toEqual([1, 4]);
  });

  it("is complete by each rule of early stopping", () => {
    const complete = (earlyStopping: boolean | "never", best: number, lengthPenalty = 1) => {
      const kept = new Hypotheses({ ...rules, earlyStopping, lengthPenalty });
      kept.add([1], -1, 1, "stop");
      expect(kept.complete(best, 2)).toBe(false); // not enough of them
      kept.add([2], -2, 1, "stop");
      return kept.complete(best, 2);
    };
    // The worst kept is -2. An open beam at -3.9 after 2 tokens would be -1.95 now, and -0.39 at full length.
    expect(complete(true, -0.1)).toBe(true);
    expect(complete(false, -3.9)).toBe(false);
    expect(complete(false, -4.1)).toBe(true);
    expect(complete("never", -4.1)).toBe(false);
    expect(complete("never", -21)).toBe(true);
    expect(complete("never", -4.1, 0)).toBe(true);
  });
});
