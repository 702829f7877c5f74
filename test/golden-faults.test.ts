import { describe, expect, it, vi } from "vitest";
import type { InternVL } from "../src/index.ts";
import {
  featuresFor,
  goldenTolerance,
  idsOf,
  loadGolden,
  loadSpoiled,
  readGolden,
  swapRows,
} from "./support/golden.ts";
import "./support/to-be-allclose.ts";

/** While `tanh` is set, GELU is its approximation by tanh. */
const gelu = vi.hoisted(() => ({ tanh: false }));

vi.mock("../src/backend/reference/matmul.ts", async (original) => {
  const real = await original<typeof import("../src/backend/reference/matmul.ts")>();
  const matmul: typeof real.matmul = (input, weight, epilogue, output, precision) => {
    const replaces = gelu.tanh && epilogue.activation === "gelu";
    real.matmul(input, weight, replaces ? { bias: epilogue.bias } : epilogue, output, precision);
    if (replaces) output.data.set(output.data.map(geluByTanh));
  };
  return { ...real, matmul };
});

function geluByTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

const name = "tiny-2b";
const golden = readGolden(name);
const picture = golden.cases.find((which) => which.name === "image")!;

/** The comparisons that the goldens are held to, over a picture's features and the logits of a question about it. */
async function compare(model: InternVL, tiles = golden.tiles): Promise<{ features(): void; logits(): void }> {
  const wantFeatures = golden.tensors.get("image_features")!.data;
  const wantLogits = golden.tensors.get("logits_image")!.data;
  const features = await model.encodeImages(tiles);
  const logits = await model.logits(idsOf(picture), featuresFor(picture, features, tiles.length));
  return {
    features: () =>
      expect(features.subarray(0, wantFeatures.length)).toBeAllclose(wantFeatures, goldenTolerance),
    logits: () => expect(logits).toBeAllclose(wantLogits, goldenTolerance),
  };
}

const tooFar = /of the range apart/;

describe("the goldens reject", () => {
  it("nothing when nothing is wrong", async () => {
    await using model = await loadSpoiled(name, {});
    const check = await compare(model);
    check.features();
    check.logits();
  });

  it("exchanged colour channels", async () => {
    await using model = await loadGolden(name, "f32");
    const exchanged = golden.tiles.map((tile) => tile.map((_, i) => tile[i - (i % 3) + (2 - (i % 3))]));
    const check = await compare(model, exchanged);
    expect(check.features).toThrow(tooFar);
    expect(check.logits).toThrow(tooFar);
  });

  it("GELU by tanh", async () => {
    await using model = await loadGolden(name, "f32");
    gelu.tanh = true;
    try {
      const check = await compare(model);
      expect(check.features).toThrow(tooFar);
      expect(check.logits).toThrow(tooFar);
    } finally {
      gelu.tanh = false;
    }
  });

  it("the other pixel shuffle", async () => {
    await using model = await loadSpoiled(name, {
      config: (config) => Object.assign(config, { ps_version: "v1" }),
    });
    const check = await compare(model);
    expect(check.features).toThrow(tooFar);
    expect(check.logits).toThrow(tooFar);
  });

  it("another layer of the vision tower", async () => {
    await using model = await loadSpoiled(name, {
      config: (config) => Object.assign(config, { select_layer: -2 }),
    });
    expect((await compare(model)).features).toThrow(tooFar);
  });

  it("a rotary base that is one percent off", async () => {
    await using model = await loadSpoiled(name, {
      config: ({ llm_config }) => Object.assign(llm_config, { rope_theta: 1_010_000 }),
    });
    const check = await compare(model);
    check.features();
    expect(check.logits).toThrow(tooFar);
  });

  it("another epsilon of the RMS norm", async () => {
    await using model = await loadSpoiled(name, {
      config: ({ llm_config }) => Object.assign(llm_config, { rms_norm_eps: 1e-6 }),
    });
    expect((await compare(model)).logits).toThrow(tooFar);
  });

  it("two exchanged rows of wqkv", async () => {
    await using model = await loadSpoiled(name, {
      weights: (file) => swapRows(file, "language_model.model.layers.0.attention.wqkv.weight", 0, 1),
    });
    const check = await compare(model);
    check.features();
    expect(check.logits).toThrow(tooFar);
  });

  it("two exchanged rows of the vision tower's fc1", async () => {
    await using model = await loadSpoiled(name, {
      weights: (file) => swapRows(file, "vision_model.encoder.layers.1.mlp.fc1.weight", 0, 1),
    });
    expect((await compare(model)).features).toThrow(tooFar);
  });

  it("the tiles in another order", async () => {
    await using model = await loadGolden(name, "f32");
    const check = await compare(model, [...golden.tiles].reverse());
    expect(check.features).toThrow(tooFar);
    expect(check.logits).toThrow(tooFar);
  });
});
