import { describe, expect, it } from "vitest";
import {
  type Case,
  cpuBackend,
  kernelVariants,
  randomFloats,
  reference,
  relativeDifference,
  runCase,
} from "../../../test/backend-comparison.ts";
import { beams, greedy, pickCase, samples } from "../../../test/support/pick-cases.ts";

const variants = await kernelVariants();

async function agrees(variant: string, of: Case, lanes = 2): Promise<void> {
  const wanted = await reference(of);
  const got = await runCase(await cpuBackend(variant, "fast", { lanes }), of);
  expect(got.tokens).toEqual(wanted.tokens);
  const sure = [...wanted.scores.keys()].filter((i) => Number.isFinite(wanted.scores[i]));
  const at = (scores: ArrayLike<number>) => sure.map((i) => scores[i]);
  if (sure.length > 0) {
    for (const [i, score] of at(got.scores).entries())
      expect(Math.abs(score - at(wanted.scores)[i])).toBeLessThan(1e-5);
  }
  for (const i of wanted.scores.keys()) {
    if (!sure.includes(i)) expect(got.scores[i]).toBe(wanted.scores[i]);
  }
}

describe.each(variants)("picking tokens, %s", (variant) => {
  it.each([1, 7, 1000, 20_001])("greedy over %i logits, with and without lists", async (vocabulary) => {
    const logits = randomFloats(vocabulary * greedy.length, 5, 6);
    await agrees(variant, pickCase(logits, greedy));
    await agrees(variant, pickCase(logits, greedy, { lists: false }), 3);
  });

  it.each([2, 300, 20_001])("draws from %i logits by temperature, top-k and top-p", async (vocabulary) => {
    await agrees(variant, pickCase(randomFloats(vocabulary * samples.length, 9, 6), samples));
  });

  it("draws among equals and nearly all suppressed", async () => {
    const logits = randomFloats(600 * samples.length, 3, 2).map((value, i) =>
      Math.floor(i / 600) % 3 === 0 ? 1.5 : i % 600 > 20 ? -Infinity : Math.round(value),
    );
    await agrees(variant, pickCase(logits, samples));
  });

  it.each([
    [20_001, 6],
    [9, 9],
    [500, 100],
  ])("of %i logits, the best %i for beams", async (vocabulary, count) => {
    const logits = randomFloats(vocabulary * beams.length, 4, 5).map((value) =>
      Math.fround(Math.round(value * 64) / 64),
    );
    await agrees(variant, pickCase(logits, beams, { count }));
  });

  it("takes the lowest id among equals, wherever lanes met it", async () => {
    const logits = new Float32Array(30_000).fill(-2);
    for (const id of [8191, 8192, 16_500, 29_999]) logits[id] = 3;
    for (const lanes of [1, 2, 3]) {
      const got = await runCase(
        await cpuBackend(variant, "fast", { lanes }),
        pickCase(logits, [{}], { lists: false }),
      );
      expect(got.tokens[0]).toBe(8191);
    }
    // The check can fail: with another value on top it is another token.
    logits[29_999] = 4;
    const got = await runCase(await cpuBackend(variant, "fast"), pickCase(logits, [{}], { lists: false }));
    expect(got.tokens[0]).toBe(29_999);
  });

  it("answers no token for a row with a NaN, and only for that", async () => {
    const logits = randomFloats(3 * 10_000, 8);
    logits[10_000 + 9_999] = Number.NaN;
    await agrees(variant, pickCase(logits, [{}, { temperature: 1 }, { beams: true }]));
  });

  it("ignores ids beyond the vocabulary in its lists", async () => {
    const of = pickCase(randomFloats(40, 2), [{ penalty: 2 }, { penalty: 2, beams: true }], { count: 3 });
    (of.inputs.penalised as Uint32Array)[0] = 4_000_000;
    (of.inputs.suppressed as Uint32Array)[6] = 20;
    await agrees(variant, of);
  });

  it("draws as often as the probabilities say", async () => {
    const rows = 2000;
    const logits = Float32Array.from({ length: rows * 3 }, (_, i) => Math.log([0.5, 0.3, 0.2][i % 3]));
    const draws = Array.from({ length: rows }, (_, i) => ({ temperature: 1, draw: (i + 0.5) / rows }));
    const { tokens } = await runCase(
      await cpuBackend(variant, "fast"),
      pickCase(logits, draws, { lists: false }),
    );
    const shares = [0, 1, 2].map(
      (id) => (tokens as Uint32Array).filter((token) => token === id).length / rows,
    );
    expect(relativeDifference(shares, [0.5, 0.3, 0.2])).toBeLessThan(2e-3);
  });
});
