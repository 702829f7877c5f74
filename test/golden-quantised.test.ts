import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InternVL } from "../src/index.ts";
import { goldenFolder, goldenModels } from "./golden-tokenizers.ts";
import {
  differences,
  featuresFor,
  type GoldenCase,
  goldenTolerance,
  idsOf,
  loadTimeout,
  readGolden,
} from "./support/golden.ts";
import { int8Row, roundedModel } from "./support/quantised-files.ts";
import "./support/to-be-allclose.ts";

const formats = ["int8", "int4"] as const;

/**
 * What quantising does, as shares of the logits' range. These models' weights are random, which is the worst there is for
 * few bits.
 */
const limits = {
  /** Fast mode, which quantises activations, too, from f32 over the same weights. Seen at most: 0.026. */
  activations: 0.04,
  /** Fast mode from the golden. Seen at most: 0.032 and 0.31. */
  int8: 0.04,
  int4: 0.35,
};

type Model = InternVL | undefined;

describe.each(goldenModels)("%s", (name) => {
  const golden = readGolden(name);
  const text = golden.cases.find((which) => which.name === "text")!;
  const image = golden.cases.find((which) => which.name === "image")!;
  const load = (precision: "f32" | "fast", weights: (typeof formats)[number]) =>
    InternVL.load(goldenFolder(name), { device: "cpu", precision, weights, onNotice: () => {} });
  const wanted = ({ name }: GoldenCase) => golden.tensors.get(`logits_${name}`)!.data;

  describe.each(formats)("%s weights", (weights) => {
    let rounded: Model;
    let exact: Model;
    let fast: Model;
    let features: Float32Array;

    beforeAll(async () => {
      const plain = { device: "reference", precision: "f32" } as const;
      rounded = await InternVL.load(roundedModel(name, weights), plain);
      exact = await load("f32", weights);
      fast = await load("fast", weights);
      features = await exact.encodeImages(golden.tiles);
    }, loadTimeout);
    afterAll(async () => {
      for (const model of [rounded, exact, fast]) await model?.dispose();
    });

    const logitsOf = (model: Model, which: GoldenCase) =>
      model!.logits(idsOf(which), featuresFor(which, features, golden.tiles.length));

    it.each([text, image])("has the logits of $name that rounded weights give", async (which) => {
      const reference = await logitsOf(rounded, which);
      expect(await logitsOf(exact, which)).toBeAllclose(reference, goldenTolerance);
      expect(await logitsOf(fast, which)).toBeAllclose(reference, { ofRange: limits.activations });
    });

    it.each(golden.cases)("is as near to the logits of $name as so few bits can be", async (which) => {
      const logits = await logitsOf(fast, which);
      expect(logits).toBeAllclose(wanted(which), { ofRange: limits[weights] });
      // The weights are quantised: bf16's own error is smaller.
      expect(logits).not.toBeAllclose(wanted(which), { ofRange: limits[weights] / 20 });
    });

    it.runIf(weights === "int8").each(golden.cases)(
      "generates the tokens of $name wherever their margin is above the error",
      async (which) => {
        const logits = wanted(which);
        const range = Math.max(...logits) - Math.min(...logits);
        const shown = featuresFor(which, features, golden.tiles.length);
        for (const [at, token] of await differences(fast!, which, shown)) {
          const want = `token ${at} is ${token}, want ${which.greedy[at]}`;
          expect(which.greedy_margin[at], want).toBeLessThan(limits.int8 * range);
        }
      },
    );
  });
});

describe("the comparison with rounded weights rejects", () => {
  it("scales that are off by one in 127", async () => {
    const [name] = goldenModels;
    const golden = readGolden(name);
    const which = golden.cases.find(({ tiles }) => tiles === 0)!;
    const plain = { device: "reference", precision: "f32" } as const;
    await using rounded = await InternVL.load(
      roundedModel(name, "int8", (row) => int8Row(row, 126)),
      plain,
    );
    await using exact = await InternVL.load(goldenFolder(name), {
      device: "cpu",
      precision: "f32",
      weights: "int8",
      onNotice: () => {},
    });
    const reference = await rounded.logits(idsOf(which));
    expect(await exact.logits(idsOf(which))).not.toBeAllclose(reference, {
      ofRange: 100 * goldenTolerance.ofRange,
    });
  });
});
