import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matrix, randomNumbers, u32, widened, zeros } from "../../../test/support/matrices.ts";
import "../../../test/support/to-be-allclose.ts";
import { noToken, pickColumns } from "../../graph/operations.ts";
import { pickTokens } from "./pick-tokens.ts";

interface Rules {
  beams?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  repetitionPenalty?: number;
  draw?: number;
  penalised?: number[];
  suppressed?: number[];
  count?: number;
}

const plain = { beams: 0, temperature: 1, topK: 0, topP: 1, repetitionPenalty: 1, draw: 0 };

/** What is chosen from one row of logits. */
function pick(logits: ArrayLike<number>, rules: Rules) {
  return pickRows([logits], [rules], rules.count)[0];
}

/** What is chosen from several rows at once, each with rules of its own. */
function pickRows(rows: readonly ArrayLike<number>[], rules: readonly Rules[], count = 1) {
  const logits = widened(
    matrix(rows.length, rows[0].length, Float32Array.from(rows.flatMap((row) => [...Array.from(row)]))),
  );
  const settings = rules.flatMap((rule) => pickColumns.map((column) => ({ ...plain, ...rule })[column]));
  const list = (name: "penalised" | "suppressed") => {
    const longest = Math.max(...rules.map((rule) => rule[name]?.length ?? 0));
    if (longest === 0) return undefined;
    const padded = rules.flatMap((rule) =>
      Array.from({ length: longest }, (_, i) => rule[name]?.[i] ?? noToken),
    );
    return u32(padded, longest);
  };
  const tokens = widened(
    u32(
      Array.from({ length: rows.length * count }, () => 0),
      count,
    ),
  );
  const scores = widened(zeros(rows.length, count));
  pickTokens(
    logits,
    matrix(rows.length, pickColumns.length, Float32Array.from(settings)),
    { penalised: list("penalised"), suppressed: list("suppressed") },
    tokens,
    scores,
  );
  return rows.map((_, b) => ({
    tokens: [...tokens.data.subarray(tokens.start + b * tokens.stride).subarray(0, count)],
    scores: [...scores.data.subarray(scores.start + b * scores.stride).subarray(0, count)],
  }));
}

const token = (logits: ArrayLike<number>, rules: Rules) => pick(logits, rules).tokens[0];

/** log softmax, plainly. */
function logProbabilities(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const total = values.reduce((sum, x) => sum + Math.exp(x), 0);
  return values.map((x) => x - Math.log(total));
}

const greedy = { temperature: 0 };

describe("greedy", () => {
  it("takes the largest, and the lowest id among equals", () => {
    expect(token([1, 3, 2], greedy)).toBe(1);
    expect(token([2, 5, 5, 5], greedy)).toBe(1);
    expect(token([0], greedy)).toBe(0);
    expect(token([-Infinity, -7, -Infinity], greedy)).toBe(1);
  });

  it("scores by the log-probability before any rule", () => {
    const logits = [1, 3, 2];
    const { tokens, scores } = pick(logits, { ...greedy, suppressed: [1] });
    expect(tokens).toEqual([2]);
    expect(scores[0]).toBeCloseTo(logProbabilities(logits)[2], 6);
  });

  it("fills what is not chosen", () => {
    const { tokens, scores } = pick([1, 2, 3], { ...greedy, count: 3 });
    expect(tokens).toEqual([2, noToken, noToken]);
    expect(scores.slice(1)).toEqual([Number.NaN, Number.NaN]);
  });
});

describe("a NaN among the logits", () => {
  it("is answered with no token, in that row alone", () => {
    for (const rules of [greedy, { temperature: 1, draw: 0.5 }, { beams: 1 }]) {
      const [damaged, whole] = pickRows(
        [
          [1, Number.NaN, 3],
          [1, 2, 3],
        ],
        [rules, rules],
      );
      expect(damaged.tokens).toEqual([noToken]);
      expect(damaged.scores).toEqual([Number.NaN]);
      expect(whole.tokens).toEqual(pick([1, 2, 3], rules).tokens);
    }
  });
});

describe("the two lists", () => {
  it("a repetition penalty divides what is positive and multiplies what is negative", () => {
    expect(token([4, 3], { ...greedy, repetitionPenalty: 2, penalised: [0] })).toBe(1);
    expect(token([-2, -3], { ...greedy, repetitionPenalty: 2, penalised: [0] })).toBe(1);
    expect(token([4, 3], { ...greedy, repetitionPenalty: 1.2, penalised: [0] })).toBe(0);
    // Below 1 it favours.
    expect(token([3, 4], { ...greedy, repetitionPenalty: 0.5, penalised: [0] })).toBe(0);
    expect(token([-4, -3], { ...greedy, repetitionPenalty: 0.5, penalised: [0] })).toBe(0);
  });

  it("what is suppressed is never chosen, greedy, sampled or by beams", () => {
    const logits = [9, 8, 7];
    expect(token(logits, { ...greedy, suppressed: [0, 1] })).toBe(2);
    for (let draw = 0; draw < 1; draw += 0.05) {
      expect(token(logits, { draw, suppressed: [0] })).not.toBe(0);
    }
    expect(pick(logits, { beams: 1, count: 2, suppressed: [0] }).tokens).toEqual([1, 2]);
  });

  it("belong to their row: padding and ids past the vocabulary do nothing", () => {
    const rows = [
      [4, 3],
      [4, 3],
    ];
    const [first, second] = pickRows(rows, [{ ...greedy, suppressed: [0] }, greedy]);
    expect(first.tokens).toEqual([1]);
    expect(second.tokens).toEqual([0]);
    expect(token([4, 3], { ...greedy, repetitionPenalty: 2, penalised: [77], suppressed: [99] })).toBe(0);
  });
});

describe("sampling", () => {
  /** The token for each of many evenly spread draws, counted. */
  function shares(logits: readonly number[], rules: Rules, draws = 2000): number[] {
    const counts = logits.map(() => 0);
    for (let i = 0; i < draws; i++) counts[token(logits, { ...rules, draw: (i + 0.5) / draws })]++;
    return counts.map((count) => count / draws);
  }
  const probabilities = (logits: readonly number[]) => logProbabilities(logits).map(Math.exp);

  it("chooses in proportion to the probabilities", () => {
    const logits = [0, 1, -1, 2];
    expect(shares(logits, {})).toBeAllclose(probabilities(logits), { within: 0.001 });
    expect(shares(logits, { temperature: 2 })).toBeAllclose(probabilities([0, 0.5, -0.5, 1]), {
      within: 0.001,
    });
    expect(shares(logits, { temperature: 0.5 })).toBeAllclose(probabilities([0, 2, -2, 4]), {
      within: 0.001,
    });
    // The comparison tells a temperature from the next.
    expect(shares(logits, { temperature: 1.1 })).not.toBeAllclose(probabilities(logits), { within: 0.001 });
  });

  it("chooses in proportion when draws are random", () => {
    const logits = [0, 1, -1, 2];
    const counts = [0, 0, 0, 0];
    const draws = 4000;
    for (const x of randomNumbers(draws, 7)) counts[token(logits, { draw: (x + 1) / 2 })]++;
    const expected = probabilities(logits).map((p) => p * draws);
    const chiSquared = counts.reduce((sum, count, i) => sum + (count - expected[i]) ** 2 / expected[i], 0);
    expect(chiSquared).toBeLessThan(16.3); // three degrees of freedom: 0.999 lie below
    expect(chiSquared).toBeGreaterThan(0.02); // and 0.999 above
  });

  it("goes through the tokens in falling order of probability", () => {
    const logits = [0, 2, 1];
    const [a, b] = [probabilities(logits)[1], probabilities(logits)[2]];
    expect(token(logits, { draw: 0 })).toBe(1);
    expect(token(logits, { draw: a - 1e-6 })).toBe(1);
    expect(token(logits, { draw: a + 1e-6 })).toBe(2);
    expect(token(logits, { draw: a + b + 1e-6 })).toBe(0);
    expect(token(logits, { draw: 1 - 2 ** -24 })).toBe(0);
  });

  it("breaks ties by id, for halves exactly at a boundary too", () => {
    expect([0, 0.25, 0.499, 0.5, 0.999].map((draw) => token([1, 1], { draw }))).toEqual([0, 0, 0, 1, 1]);
  });

  it("topK keeps the largest; 0, or more than there are, all", () => {
    const logits = [0, 3, 1, 2];
    expect(shares(logits, { topK: 1 })).toEqual([0, 1, 0, 0]);
    const [a, b] = probabilities([3, 2]);
    expect(shares(logits, { topK: 2 })).toBeAllclose([0, a, 0, b], { within: 0.001 });
    expect(shares(logits, { topK: 99 })).toEqual(shares(logits, { topK: 0 }));
  });

  it("topP keeps the fewest that reach it", () => {
    const logits = [0.5, 0.25, 0.125, 0.125].map(Math.log);
    expect(shares(logits, { topP: 0.49 })).toEqual([1, 0, 0, 0]);
    expect(shares(logits, { topP: 0.51 })).toBeAllclose([2 / 3, 1 / 3, 0, 0], { within: 0.001 });
    expect(shares(logits, { topP: 0.76 })).toBeAllclose([4 / 7, 2 / 7, 1 / 7, 0], { within: 0.001 });
    expect(shares(logits, { topP: 1 })).toBeAllclose([0.5, 0.25, 0.125, 0.125], { within: 0.001 });
    // However small, the likeliest stays.
    expect(shares(logits, { topP: 1e-9 })).toEqual([1, 0, 0, 0]);
  });

  it("topP is a share of what topK left, after the temperature", () => {
    const logits = [0.4, 0.3, 0.2, 0.1].map(Math.log);
    // Of the first two, 4/7 is the first's: 0.5 is reached by it alone, where of all four it is not.
    expect(shares(logits, { topK: 2, topP: 0.5 })).toEqual([1, 0, 0, 0]);
    expect(shares(logits, { topP: 0.5 })).toBeAllclose([4 / 7, 3 / 7, 0, 0], { within: 0.001 });
    // At temperature 1/2 probabilities go as their squares: 16 of 30.
    expect(shares(logits, { temperature: 0.5, topP: 0.5 })).toEqual([1, 0, 0, 0]);
  });

  it("never chooses what has no probability", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.99999, noNaN: true }), (draw) => {
        expect([1, 3]).toContain(token([-Infinity, 0, -Infinity, 5], { draw }));
      }),
    );
  });

  it("stands logits of any size", () => {
    expect(token([1e30, -1e30], { draw: 0.99 })).toBe(0);
    expect(token([-3e38, -3e38], { draw: 0.75 })).toBe(1);
  });
});

describe("beams", () => {
  const beams = { beams: 1 };

  it("gives the largest log-probabilities in falling order, equals by id", () => {
    const logits = [1, 4, 2, 4, 3];
    const { tokens, scores } = pick(logits, { ...beams, count: 4 });
    expect(tokens).toEqual([1, 3, 4, 2]);
    const log = logProbabilities(logits);
    expect(scores).toBeAllclose(
      [1, 3, 4, 2].map((id) => log[id]),
      { within: 1e-6 },
    );
  });

  it("applies the penalty to log-probabilities, which are never positive", () => {
    const logits = [5, 4];
    const log = logProbabilities(logits);
    const { tokens, scores } = pick(logits, { ...beams, count: 2, repetitionPenalty: 8, penalised: [0] });
    expect(tokens).toEqual([1, 0]);
    expect(scores).toBeAllclose([log[1], 8 * log[0]], { within: 1e-5 });
  });

  it("does not read temperature, topK, topP and draw", () => {
    const logits = randomNumbers(50, 3);
    const others = { temperature: 0, topK: 1, topP: 0.01, draw: 0.9 };
    expect(pick(logits, { ...beams, ...others, count: 7 })).toEqual(pick(logits, { ...beams, count: 7 }));
  });

  it("can take the whole vocabulary", () => {
    const { tokens } = pick([0, 2, 1], { ...beams, count: 3, suppressed: [2] });
    expect(tokens).toEqual([1, 0, 2]);
  });
});

describe("a batch", () => {
  it("is chosen from row by row", () => {
    const rule = fc.record({
      temperature: fc.constantFrom(0, 0.5, 1),
      topK: fc.constantFrom(0, 1, 3),
      topP: fc.constantFrom(0.3, 0.9, 1),
      draw: fc.double({ min: 0, max: 0.999, noNaN: true }),
      repetitionPenalty: fc.constantFrom(1, 1.5),
      penalised: fc.uniqueArray(fc.nat(9), { maxLength: 3 }),
      suppressed: fc.uniqueArray(fc.nat(8), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 5 }), fc.nat(1000), (rules, seed) => {
        const rows = rules.map((_, b) => randomNumbers(10, seed + b));
        expect(pickRows(rows, rules)).toEqual(rules.map((rule, b) => pick(rows[b], rule)));
      }),
    );
  });
});
