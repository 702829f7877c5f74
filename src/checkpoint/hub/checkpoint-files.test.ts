import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../../errors.ts";
import { describingFiles, hasTokenizer, shardsOf, weightsEntry } from "./checkpoint-files.ts";

const published = [
  "README.md",
  "added_tokens.json",
  "config.json",
  "configuration_internvl_chat.py",
  "conversation.py",
  "examples/image1.jpg",
  "generation_config.json",
  "modeling_internvl_chat.py",
  "preprocessor_config.json",
  "pytorch_model.bin",
  "special_tokens_map.json",
  "tokenization_internlm2.py",
  "tokenizer.model",
  "tokenizer_config.json",
];

describe("checkpoint files", () => {
  it("takes what it needs of a published repository, and nothing else", () => {
    expect(describingFiles(new Set([...published, "model.safetensors"])).sort()).toEqual([
      "added_tokens.json",
      "config.json",
      "generation_config.json",
      "preprocessor_config.json",
      "special_tokens_map.json",
      "tokenizer.model",
      "tokenizer_config.json",
    ]);
  });

  it("takes the index where the weights are in shards", () => {
    const sharded = new Set([...published, "model.safetensors.index.json"]);
    expect(weightsEntry(sharded)).toBe("model.safetensors.index.json");
    expect(describingFiles(sharded)).toContain("model.safetensors.index.json");
    // One file is preferred, and then an index beside it is not wanted.
    const both = new Set([...sharded, "model.safetensors"]);
    expect(weightsEntry(both)).toBe("model.safetensors");
    expect(describingFiles(both)).not.toContain("model.safetensors.index.json");
    expect(weightsEntry(new Set(published))).toBeUndefined();
  });

  it("knows the family's three kinds of tokenizer files", () => {
    expect(hasTokenizer(new Set(["tokenizer.model"]))).toBe(true);
    expect(hasTokenizer(new Set(["tokenizer.json"]))).toBe(true);
    expect(hasTokenizer(new Set(["vocab.json", "merges.txt"]))).toBe(true);
    expect(hasTokenizer(new Set(["vocab.json", "tokenizer_config.json"]))).toBe(false);
  });

  it("reads the shards of an index", () => {
    const index = {
      metadata: {},
      weight_map: { a: "m-2.safetensors", b: "m-1.safetensors", c: "m-2.safetensors" },
    };
    expect(shardsOf(JSON.stringify(index), "i")).toEqual(["m-1.safetensors", "m-2.safetensors"]);
  });

  it.each([
    "",
    "[]",
    "null",
    '{"weight_map":{}}',
    '{"weight_map":[]}',
    '{"weight_map":{"a":1}}',
    '{"weight_map":{"a":"../../x.safetensors"}}',
    '{"weight_map":{"a":"/etc/x.safetensors"}}',
    '{"weight_map":{"a":"model.bin"}}',
  ])("refuses the index %s", (text) => {
    expect(() => shardsOf(text, "i")).toThrow(CheckpointError);
  });

  it("answers a damaged index with shards or a CheckpointError", () => {
    const text = JSON.stringify({ weight_map: { a: "m-1.safetensors", b: "m-2.safetensors" } });
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (at, patch) => {
        try {
          return shardsOf(text.slice(0, at) + patch + text.slice(at + patch.length), "i").length > 0;
        } catch (error) {
          return error instanceof CheckpointError;
        }
      }),
    );
  });
});
