import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../errors.ts";
import { parseConfig } from "./config.ts";
import type { ModelDescription } from "./description.ts";
import { publishedConfigs } from "./published.ts";

type Json = Record<string, unknown>;

const published = (name: keyof typeof publishedConfigs) => structuredClone(publishedConfigs[name]);

/** The 8B config with one field, given by its path, set to a value (`undefined` takes it out). */
function changed(path: string, value: unknown, name: keyof typeof publishedConfigs = "8b"): Json {
  const config = published(name);
  const keys = path.split(".");
  const last = keys.pop()!;
  let object: Json = config;
  for (const key of keys) object = object[key] as Json;
  if (value === undefined) delete object[last];
  else object[last] = value;
  return config;
}

function refusal(config: unknown): ConfigError {
  try {
    parseConfig(config);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return error as ConfigError;
  }
  throw new Error("the config was taken");
}

const tiny = (name: string) =>
  parseConfig(JSON.parse(readFileSync(`test/golden/models/${name}/config.json`, "utf8")));

describe("parseConfig", () => {
  it("reads InternVL2-8B", () => {
    expect(parseConfig(published("8b"))).toEqual({
      vision: {
        hiddenSize: 1024,
        layers: 24,
        heads: 16,
        headSize: 64,
        intermediateSize: 4096,
        norm: "layer_norm",
        normEpsilon: 1e-6,
        qkNormalization: false,
        qkvBias: true,
        imageSize: 448,
        patchSize: 14,
      },
      projector: { pixelShuffle: "v2", shuffleFactor: 2, visionStates: 24 },
      language: {
        architecture: "InternLM2",
        hiddenSize: 4096,
        layers: 32,
        heads: 32,
        keyValueHeads: 8,
        headSize: 128,
        intermediateSize: 14336,
        vocabularySize: 92553,
        normEpsilon: 1e-5,
        qkvBias: false,
        contextLength: 32768,
        rope: { theta: 1e6, kind: "dynamic", factor: 2, originalLength: 32768 },
        beginId: 1,
        endId: 2,
        padId: 2,
      },
      tiling: { tileSize: 448, minTiles: 1, maxTiles: 12, thumbnail: true, tokensPerTile: 256 },
      template: "internlm2-chat",
    } satisfies ModelDescription);
  });

  it("reads the language model of every sibling", () => {
    const summary = Object.keys(publishedConfigs).map((name) => {
      const { language, vision } = parseConfig(published(name as "8b"));
      return `${name} ${language.architecture} ${language.headSize} ${language.rope.kind} ${language.qkvBias} ${vision.norm}`;
    });
    expect(summary).toEqual([
      "1b Qwen2 64 plain true layer_norm",
      "2b InternLM2 128 dynamic false layer_norm",
      "4b Phi3 96 longrope false layer_norm",
      "8b InternLM2 128 dynamic false layer_norm",
      "26b InternLM2 128 dynamic false rms_norm",
      "40b Llama 128 plain false rms_norm",
      "76b Llama 128 plain false rms_norm",
    ]);
  });

  it("reads the small checkpoints", () => {
    for (const name of ["tiny-1b", "tiny-2b", "tiny-4b", "tiny-8b", "tiny-26b", "tiny-76b"])
      expect(tiny(name).projector).toEqual({ pixelShuffle: "v2", shuffleFactor: 2, visionStates: 2 });
    expect(tiny("tiny-v1").projector).toEqual({ pixelShuffle: "v1", shuffleFactor: 2, visionStates: 3 });
    expect(tiny("tiny-2b").tiling).toEqual({
      tileSize: 112,
      minTiles: 1,
      maxTiles: 6,
      thumbnail: true,
      tokensPerTile: 16,
    });
    const { rope } = tiny("tiny-4b").language;
    if (rope.kind !== "longrope") throw new Error(rope.kind);
    expect(rope.magnitude).toBeCloseTo(1.19024, 5);
    expect([rope.shortFactors.length, rope.shortFactors[1], rope.longFactors[47]]).toEqual([48, 1.01, 29.2]);
    expect(rope.originalLength).toBe(4096);
    expect(tiny("tiny-1b").language.beginId).toBeUndefined();
  });

  it("takes the defaults of the published classes", () => {
    const description = parseConfig({
      model_type: "internvl_chat",
      template: "internlm2-chat",
      vision_config: {},
      llm_config: { architectures: ["LlamaForCausalLM"] },
    });
    expect(description.vision).toMatchObject({ hiddenSize: 3200, layers: 48, heads: 25, imageSize: 224 });
    expect(description.vision).toMatchObject({ norm: "rms_norm", qkNormalization: true, qkvBias: false });
    expect(description.projector).toEqual({ pixelShuffle: "v1", shuffleFactor: 2, visionStates: 48 });
    expect(description.tiling).toEqual({
      tileSize: 224,
      minTiles: 1,
      maxTiles: 1,
      thumbnail: false,
      tokensPerTile: 64,
    });
    expect(description.language).toMatchObject({ hiddenSize: 4096, keyValueHeads: 32, contextLength: 2048 });
    expect(description.language.rope).toEqual({ theta: 10000, kind: "plain" });
  });

  it("counts select_layer as Python counts a list of the embeddings and each layer's output", () => {
    const states = (select: number) => parseConfig(changed("select_layer", select)).projector.visionStates;
    expect([-1, -2, -25, 0, 1, 24].map(states)).toEqual([24, 23, 0, 0, 1, 24]);
    expect(refusal(changed("select_layer", -26)).field).toBe("select_layer");
    expect(refusal(changed("select_layer", 25)).message).toContain("from -25 to 24, got 25");
  });

  it("leaves the magnitude at 1 where the context is not stretched", () => {
    const rope = parseConfig(changed("llm_config.max_position_embeddings", 4096, "4b")).language.rope;
    expect(rope).toMatchObject({ kind: "longrope", magnitude: 1 });
  });

  it("reads linear scaling, rope_type, and several end ids", () => {
    const scaled = changed("llm_config.rope_scaling", { rope_type: "linear", factor: 4 }, "40b");
    expect(parseConfig(scaled).language.rope).toEqual({ theta: 5e6, kind: "linear", factor: 4 });
    expect(parseConfig(changed("llm_config.eos_token_id", [7, 8], "76b")).language.endId).toBe(7);
  });

  it("passes over tie_word_embeddings and keys it does not know", () => {
    const config = changed("llm_config.tie_word_embeddings", true);
    expect(parseConfig({ ...config, id2label: { 0: "x" } })).toEqual(parseConfig(published("8b")));
  });

  const refused: [string, unknown, string, ("8b" | "4b" | "1b" | "76b")?][] = [
    ["model_type", "llava_llama", "this is a LLaVA model; supported are the InternVL2 checkpoints"],
    ["model_type", "internlm2", "a language model alone"],
    ["model_type", "internvl", "take the repository without -hf"],
    ["downsample_ratio", 0.4, "has to be 1 over a whole number, got 0.4"],
    ["downsample_ratio", 0.2, "32x32 patches"],
    ["downsample_ratio", "0.5", 'got "0.5"'],
    ["force_image_size", 450, "multiple of the patch_size of 14, got 450"],
    ["pad2square", true, "not supported"],
    ["use_llm_lora", 16, "merge"],
    ["ps_version", "v3", 'has to be "v1" or "v2", got "v3"'],
    ["template", undefined, "got nothing"],
    ["min_dynamic_patch", 13, "max_dynamic_patch of 12"],
    ["max_dynamic_patch", 0, "from 1 to 1024, got 0"],
    ["vision_config", undefined, "has to be a JSON object, got nothing"],
    ["vision_config.model_type", "clip_vision_model", "another vision tower"],
    ["vision_config.hidden_act", "quick_gelu", 'has to be "gelu"'],
    ["vision_config.num_attention_heads", 15, "divide the hidden_size of 1024, got 15"],
    ["vision_config.num_hidden_layers", 1e15, "from 1 to 1024"],
    ["vision_config.norm_type", "batch_norm", '"layer_norm" or "rms_norm"'],
    ["vision_config.layer_norm_eps", 0, "above 0"],
    ["vision_config.num_channels", 4, "RGB"],
    ["vision_config.patch_size", 13, "divide the image_size of 448"],
    ["llm_config.architectures", ["Qwen3ForCausalLM"], "LlamaForCausalLM (40B"],
    ["llm_config.hidden_act", "gelu", 'has to be "silu"'],
    ["llm_config.num_attention_heads", 31, "divide the hidden_size of 4096"],
    ["llm_config.num_key_value_heads", 5, "divide the num_attention_heads of 32, got 5"],
    ["llm_config.bias", undefined, "biases"],
    ["llm_config.rope_scaling", { type: "yarn", factor: 2 }, 'null, "linear" or "dynamic" only, got "yarn"'],
    ["llm_config.rope_scaling.factor", 0.5, "from 1 on"],
    ["llm_config.rope_scaling.factor", undefined, "got nothing"],
    ["llm_config.rope_scaling.long_factor", [1, 2], "list of 48 numbers above 0, and this list has 2", "4b"],
    [
      "llm_config.rope_scaling",
      { type: "dynamic", factor: 2 },
      "Qwen2 knows the rope_scaling null only",
      "1b",
    ],
    ["llm_config.sliding_window", 2047, "whole context of 131072, got 2047", "4b"],
    ["llm_config.attention_bias", true, "Llama with biases", "76b"],
    ["llm_config.head_dim", 64, "= 128, got 64", "76b"],
    ["llm_config.quantization_config", { quant_method: "awq" }, "bf16 checkpoint"],
    ["llm_config.eos_token_id", "</s>", "token id"],
  ];
  it.each(refused)("refuses %s = %j", (path, value, words, name) => {
    const error = refusal(changed(path, value, name));
    expect(error.message).toContain(words);
    expect(error.field.startsWith(path)).toBe(true);
  });

  it("refuses a tile whose patches do not make whole tokens", () => {
    const error = refusal(changed("force_image_size", 462));
    expect(error.field).toBe("downsample_ratio");
    expect(error.message).toContain("33x33 patches to whole tokens, got 0.5");
  });

  it("refuses what is not an object", () => {
    for (const json of [null, 3, "x", [], undefined]) expect(refusal(json).message).toContain("JSON object");
  });

  it("gives a description or a ConfigError for any change of a field", () => {
    const paths = (object: Json, prefix: string): string[] =>
      Object.entries(object).flatMap(([key, value]) => [
        prefix + key,
        ...(typeof value === "object" && value !== null && !Array.isArray(value)
          ? paths(value as Json, `${prefix}${key}.`)
          : []),
      ]);
    const change = fc.constantFrom(...(["1b", "4b", "8b", "76b"] as const)).chain((name) =>
      fc.record({
        name: fc.constant(name),
        path: fc.constantFrom(...paths(publishedConfigs[name], "")),
        value: fc.oneof(fc.jsonValue(), fc.integer(), fc.double(), fc.constant(undefined)),
      }),
    );
    fc.assert(
      fc.property(change, ({ name, path, value }) => {
        try {
          const { vision, language, tiling } = parseConfig(changed(path, value, name));
          expect(vision.headSize * vision.heads).toBe(vision.hiddenSize);
          expect(language.headSize * language.heads).toBe(language.hiddenSize);
          expect(Number.isInteger(Math.sqrt(tiling.tokensPerTile))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
