import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { InternVL } from "../src/index.ts";
import { goldenFolder, goldenModels } from "./golden-tokenizers.ts";
import { featuresFor, goldenTolerance, idsOf, readGolden } from "./support/golden.ts";
import "./support/to-be-allclose.ts";

// Each golden model in f32, with its own kernels of every kind: norms, attention with and without groups, both rotations.
describe.each(goldenModels)("%s, as WebAssembly", (name) => {
  const golden = readGolden(name);
  let model: InternVL;
  let features: Float32Array;

  beforeAll(async () => {
    vi.stubEnv("INTERNVL_CPU", "wasm");
    model = await InternVL.load(goldenFolder(name), { device: "cpu", precision: "f32" });
    vi.unstubAllEnvs();
    features = await model.encodeImages(golden.tiles);
  }, 120_000);
  afterAll(() => model.dispose());

  it("has the image features", () => {
    const { data } = golden.tensors.get("image_features")!;
    expect(features.subarray(0, data.length)).toBeAllclose(data, goldenTolerance);
    // The check can fail: rows of another token are not these.
    expect(features.subarray(data.length / 2, data.length)).not.toBeAllclose(
      data.slice(0, data.length - data.length / 2),
      goldenTolerance,
    );
  });

  it.each(golden.cases)("has the logits and the greedy tokens of $name", async (which) => {
    const shown = featuresFor(which, features, golden.tiles.length);
    const logits = await model.logits(idsOf(which), shown);
    expect(logits).toBeAllclose(golden.tensors.get(`logits_${which.name}`)!.data, goldenTolerance);
    const { sequences } = await model.generate(idsOf(which), {
      features: shown,
      maxNewTokens: which.greedy.length,
    });
    expect(sequences[0].ids).toEqual(which.greedy);
  });
});
