import { describe, expect, it } from "vitest";
import { fakeStore } from "../../test/support/fake-store.ts";
import { ReferenceWeight } from "../backend/reference/weights.ts";
import { parseConfig } from "../checkpoint/config.ts";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import { publishedConfigs } from "../checkpoint/published.ts";
import type { Weight } from "../graph/tensor.ts";
import { languageNames } from "./language-names.ts";

type Json = Record<string, unknown>;

/** A small checkpoint of a family whose every value says where it stands: the tensor's last part, and the row. */
function numbered(name: keyof typeof publishedConfigs, sizes: Json) {
  const config = structuredClone(publishedConfigs[name]) as Json & { llm_config: Json };
  Object.assign(config.llm_config, {
    num_hidden_layers: 2,
    hidden_size: 12,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    intermediate_size: 5,
    vocab_size: 10,
    ...sizes,
  });
  const description = parseConfig(config);
  const tensors: string[] = [];
  const store = fakeStore(expectedTensors(description), (tensor, row) => {
    if (!tensors.includes(tensor)) tensors.push(tensor);
    return tensors.indexOf(tensor) * 1000 + row;
  });
  const layer = languageNames(description.language).layer(store, 1);
  /** Which tensor and row each row of a weight is. */
  const rows = async (weight: Weight): Promise<string[]> => {
    const values = await ReferenceWeight.load(weight, store);
    const first = values.floats().filter((_, i) => i % weight.columns === 0);
    return [...first].map((value) => {
      const tensor = tensors[Math.floor(value / 1000)].replace("language_model.model.layers.1.", "");
      return `${tensor} ${value % 1000}`;
    });
  };
  return { layer, rows };
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

describe("InternLM2", () => {
  it("has the rows of wqkv, a group a key-value head, put in the order [q | k | v]", async () => {
    // Two groups of five blocks of two rows: q q q k v.
    const { layer, rows } = numbered("8b", {});
    const want = [...range(0, 6), ...range(10, 6), 6, 7, 16, 17, 8, 9, 18, 19];
    expect(await rows(layer.wqkv)).toEqual(want.map((row) => `attention.wqkv.weight ${row}`));
    expect(layer.wqkv).toMatchObject({ rows: 20, columns: 12 });
    expect(layer.wqkvBias).toBeUndefined();
    // As they stand, they would be another network.
    expect(await rows(layer.wqkv)).not.toEqual(range(0, 20).map((row) => `attention.wqkv.weight ${row}`));
  });

  it("has w1 as gate, w3 as up, w2 as down", () => {
    const { layer } = numbered("8b", {});
    const name = (part: string) => `language_model.model.layers.1.${part}.weight`;
    expect(layer.w1).toMatchObject({ name: name("feed_forward.w1"), rows: 5, columns: 12 });
    expect(layer.w3).toMatchObject({ name: name("feed_forward.w3"), rows: 5, columns: 12 });
    expect(layer.w2).toMatchObject({ name: name("feed_forward.w2"), rows: 12, columns: 5 });
    expect(layer.wo).toMatchObject({ name: name("attention.wo") });
    expect(layer.attentionNorm).toMatchObject({ name: name("attention_norm") });
    expect(layer.ffnNorm).toMatchObject({ name: name("ffn_norm") });
  });
});

describe("Qwen2", () => {
  it("has q, k and v one after another, and so their biases", async () => {
    const { layer, rows } = numbered("1b", {});
    const want = (kind: string) => [
      ...range(0, 12).map((row) => `self_attn.q_proj.${kind} ${row}`),
      ...range(0, 4).map((row) => `self_attn.k_proj.${kind} ${row}`),
      ...range(0, 4).map((row) => `self_attn.v_proj.${kind} ${row}`),
    ];
    expect(await rows(layer.wqkv)).toEqual(want("weight"));
    expect(await rows(layer.wqkvBias!)).toEqual(want("bias"));
    expect(layer.wqkvBias).toMatchObject({ rows: 20, columns: 1 });
  });
});

describe("Llama", () => {
  it("has q, k and v one after another, without biases", async () => {
    const { layer, rows } = numbered("76b", {});
    const names = (await rows(layer.wqkv)).map((row) => row.split(".")[1]);
    expect(names).toEqual([
      ...Array(12).fill("q_proj"),
      ...Array(4).fill("k_proj"),
      ...Array(4).fill("v_proj"),
    ]);
    expect(layer.wqkvBias).toBeUndefined();
    expect(layer.w1.name).toMatch(/mlp\.gate_proj/);
    expect(layer.w3.name).toMatch(/mlp\.up_proj/);
    expect(layer.w2.name).toMatch(/mlp\.down_proj/);
  });
});

describe("Phi-3", () => {
  const { layer, rows } = numbered("4b", {
    num_key_value_heads: 6,
    rope_scaling: { type: "su", short_factor: [1], long_factor: [1] },
  });

  it("has q, k and v fused, in this order already", async () => {
    expect(await rows(layer.wqkv)).toEqual(range(0, 36).map((row) => `self_attn.qkv_proj.weight ${row}`));
  });

  it("has the gate in the first half of gate_up_proj, up in the second", async () => {
    expect(await rows(layer.w1)).toEqual(range(0, 5).map((row) => `mlp.gate_up_proj.weight ${row}`));
    expect(await rows(layer.w3)).toEqual(range(5, 5).map((row) => `mlp.gate_up_proj.weight ${row}`));
  });
});
