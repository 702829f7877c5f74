import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { InternVL } from "../src/index.ts";
import { goldenModels } from "./golden-tokenizers.ts";
import { differences, featuresFor, idsOf, loadGolden, loadTimeout, readGolden } from "./support/golden.ts";
import { distanceOfRange } from "./support/to-be-allclose.ts";

/**
 * What rounding operands to bf16 (8 bits of significand) may do, as shares of the range. Seen at most: 0.0025 for
 * features, 0.0056 for logits.
 */
const limits = { features: 2 ** -8, logits: 2 ** -7 };

/** A token whose logit was this far above the next is kept whatever the rounding: the logits' range is 15 to 21. */
const safeMargin = 0.25;

describe.each(goldenModels)("%s, fast", (name) => {
  const golden = readGolden(name);
  let model: InternVL;
  let features: Float32Array;

  beforeAll(async () => {
    model = await loadGolden(name, "fast");
    features = await model.encodeImages(golden.tiles);
  }, loadTimeout);
  afterAll(() => model.dispose());

  it("has the image features to bf16's own error, and no better", () => {
    const { data } = golden.tensors.get("image_features")!;
    expect(features.subarray(0, data.length)).toBeAllclose(data, { ofRange: limits.features });
    // It does round: the limit of the f32 mode rejects it.
    expect(features.subarray(0, data.length)).not.toBeAllclose(data, { ofRange: 1e-4 });
  });

  it.each(golden.cases)("has the logits of $name to bf16's own error", async (which) => {
    const logits = await model.logits(idsOf(which), featuresFor(which, features, golden.tiles.length));
    const { data } = golden.tensors.get(`logits_${which.name}`)!;
    expect(logits).toBeAllclose(data, { ofRange: limits.logits });
    expect(distanceOfRange(logits, data)).toBeGreaterThan(1e-4);
  });

  it.each(golden.cases)("generates the tokens of $name wherever their margin is safe", async (which) => {
    const shown = featuresFor(which, features, golden.tiles.length);
    for (const [at, token] of await differences(model, which, shown)) {
      expect(which.greedy_margin[at], `token ${at} is ${token}, want ${which.greedy[at]}`).toBeLessThan(
        safeMargin,
      );
    }
  });
});
