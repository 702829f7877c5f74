import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { InternVL } from "../src/index.ts";
import { goldenModels } from "./golden-tokenizers.ts";
import { type AdapterName, presentAdapters, settingsFor } from "./support/adapters.ts";
import {
  featuresFor,
  goldenTolerance,
  idsOf,
  loadGolden,
  loadTimeout,
  readGolden,
  tilesShown,
} from "./support/golden.ts";
import { describeGolden } from "./support/golden-suite.ts";
import "./support/to-be-allclose.ts";

const present = await presentAdapters("SwiftShader", "lavapipe");
const arms = [
  { adapter: "SwiftShader", precision: "f32", words: "" },
  { adapter: "lavapipe", precision: "fast", words: "" },
  { adapter: "lavapipe", precision: "f32", words: "stock" },
] as const;
const here = (adapter: AdapterName) => present.includes(adapter);

/** Keys and values in f16, the rest f32: far nearer than bf16, and never quite exact. */
const fastTolerance = { ofRange: 1e-3 };

/** The cheapest of the models goes through everything that is asked of the plain backend. */
describe.skipIf(!here("SwiftShader"))("SwiftShader", () => {
  const prepare = () => void vi.stubEnv("INTERNVL_WEBGPU", settingsFor("SwiftShader"));
  describeGolden("tiny-2b", { device: "webgpu", prepare });
});

describe.each(arms)("$adapter $words, $precision", ({ adapter, precision, words }) => {
  // Without optional features, one model is enough: what differs is the device, not the network.
  const models = words === "stock" ? ["tiny-1b", "tiny-4b"] : goldenModels;
  describe.skipIf(!here(adapter)).each(models)("%s", (name) => {
    const golden = readGolden(name);
    const tiles = golden.tiles.slice(0, 1);
    const shown = golden.cases.filter((which) => tilesShown(which) <= tiles.length);
    let model: InternVL;
    let features: Float32Array;

    beforeAll(async () => {
      vi.stubEnv("INTERNVL_WEBGPU", settingsFor(adapter, words));
      model = await loadGolden(name, precision, "webgpu");
      features = await model.encodeImages(tiles);
    }, loadTimeout);
    afterAll(() => model.dispose());

    it("has the image features", () => {
      const { data } = golden.tensors.get("image_features")!;
      const rows = features.subarray(0, data.length);
      expect(rows).toBeAllclose(data, precision === "f32" ? goldenTolerance : fastTolerance);
      // The check can fail: rows of another token are not these.
      const half = data.length / 2;
      expect(features.subarray(half, data.length)).not.toBeAllclose(data.slice(0, half), fastTolerance);
    });

    it.each(shown)("has the logits and tokens of $name", async (which) => {
      const given = featuresFor(which, features, tiles.length);
      const logits = await model.logits(idsOf(which), given);
      const { data } = golden.tensors.get(`logits_${which.name}`)!;
      expect(logits).toBeAllclose(data, precision === "f32" ? goldenTolerance : fastTolerance);
      const maxNewTokens = Math.min(4, which.greedy.length);
      const { sequences } = await model.generate(idsOf(which), { features: given, maxNewTokens });
      expect(sequences[0].ids).toEqual(which.greedy.slice(0, maxNewTokens));
    });
  });
});
