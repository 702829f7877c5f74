import { describe, expect, it } from "vitest";
import { CheckpointError } from "../errors.ts";
import { parseConfig } from "./config.ts";
import { checkTensors, expectedTensors } from "./expected-tensors.ts";
import { type PublishedName, publishedConfigs } from "./published.ts";
import type { TensorInfo, TensorStore } from "./tensor-store.ts";

const describeModel = (name: PublishedName) => parseConfig(publishedConfigs[name]);

function count(shapes: Iterable<[string, readonly number[]]>, prefix = ""): number {
  let values = 0;
  for (const [name, shape] of shapes) if (name.startsWith(prefix)) values += shape.reduce((a, b) => a * b, 1);
  return values;
}

/** A store with a model's tensors, after `change`. Nothing in it can be read. */
function storeOf(
  name: PublishedName,
  change: (shapes: Map<string, number[]>) => void = () => {},
): TensorStore {
  const shapes = expectedTensors(describeModel(name));
  change(shapes);
  const info = ([tensor, shape]: [string, number[]]): [string, TensorInfo] => [
    tensor,
    { name: tensor, dtype: "BF16", shape, file: "1.safetensors", start: 0, end: 0 },
  ];
  const unread = () => Promise.reject(new Error("not read"));
  return {
    tensors: new Map([...shapes].map(info)),
    readRows: unread,
    readFloats: unread,
    close: async () => {},
  };
}

function refusal(check: () => void): string {
  try {
    check();
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return (error as Error).message;
  }
  throw new Error("the tensors were taken");
}

describe("expectedTensors", () => {
  // Parameters of the vision tower, the projector, the language model; all of them; bytes in bf16; tensors.
  const published: [PublishedName, number, number, number, number, number, number][] = [
    ["1b", 304_012_288, 4_482_816, 629_663_872, 938_158_976, 1_876_317_952, 637],
    ["2b", 304_012_288, 12_595_200, 1_889_146_880, 2_205_754_368, 4_411_508_736, 517],
    ["4b", 304_012_288, 22_034_432, 3_820_809_216, 4_146_855_936, 8_293_711_872, 541],
    ["8b", 304_012_288, 33_570_816, 7_737_782_272, 8_075_365_376, 16_150_730_752, 573],
    ["26b", 5_536_496_000, 116_429_824, 19_861_260_288, 25_514_186_112, 51_028_372_224, 934],
    ["40b", 5_536_496_000, 143_170_560, 34_389_046_272, 40_068_712_832, 80_137_425_664, 1138],
    ["76b", 5_536_496_000, 172_008_448, 70_553_853_952, 76_262_358_400, 152_524_716_800, 1318],
  ];
  it.each(published)(
    "has the totals of InternVL2 %s",
    (name, vision, projector, language, all, bytes, tensors) => {
      const shapes = expectedTensors(describeModel(name));
      expect(count(shapes, "vision_model.")).toBe(vision);
      expect(count(shapes, "mlp1.")).toBe(projector);
      expect(count(shapes, "language_model.")).toBe(language);
      expect(count(shapes)).toBe(all);
      expect(2 * count(shapes)).toBe(bytes);
      expect(shapes.size).toBe(tensors);
    },
  );

  it("would give another total for one layer or bias more", () => {
    const description = describeModel("8b");
    description.vision.layers += 1;
    expect(count(expectedTensors(description))).not.toBe(8_075_365_376);
    const biased = describeModel("40b");
    biased.language.qkvBias = true;
    expect(count(expectedTensors(biased))).not.toBe(40_068_712_832);
  });

  it("names the tensors of 8B", () => {
    const shapes = expectedTensors(describeModel("8b"));
    expect(shapes.get("language_model.model.layers.31.attention.wqkv.weight")).toEqual([6144, 4096]);
    expect(shapes.get("language_model.model.layers.0.feed_forward.w2.weight")).toEqual([4096, 14336]);
    expect(shapes.get("vision_model.embeddings.position_embedding")).toEqual([1, 1025, 1024]);
    expect(shapes.get("vision_model.encoder.layers.23.ls2")).toEqual([1024]);
    expect(shapes.get("mlp1.1.weight")).toEqual([4096, 4096]);
    expect(
      expectedTensors(describeModel("4b")).get("language_model.model.layers.0.mlp.gate_up_proj.weight"),
    ).toEqual([16384, 3072]);
  });
});

describe("checkTensors", () => {
  it.each(Object.keys(publishedConfigs) as PublishedName[])(
    "takes the tensors of %s, and of no other",
    (name) => {
      checkTensors(describeModel(name), storeOf(name));
      for (const other of Object.keys(publishedConfigs) as PublishedName[])
        if (other !== name)
          expect(() => checkTensors(describeModel(other), storeOf(name))).toThrow(CheckpointError);
    },
  );

  it("names what is missing, misshapen and extra", () => {
    const store = storeOf("8b", (shapes) => {
      shapes.delete("mlp1.3.bias");
      shapes.set("mlp1.1.weight", [4096, 4097]);
      shapes.set("vision_model.head.weight", [2]);
    });
    const message = refusal(() => checkTensors(describeModel("8b"), store));
    expect(message).toContain("missing (1):\n    mlp1.3.bias [4096]");
    expect(message).toContain("mlp1.1.weight wanted [4096, 4096], got [4096, 4097] in 1.safetensors");
    expect(message).toContain("not part of this model (1):\n    vision_model.head.weight");
  });

  it("takes frequencies that were saved along", () => {
    const saved = "language_model.model.layers.0.attention.rotary_emb.inv_freq";
    const stored = { dtype: "F32", file: "1.safetensors", start: 0, end: 0, name: saved, shape: [64] };
    checkTensors(
      describeModel("8b"),
      storeOf("8b", (shapes) => shapes.set(saved, [64])),
    );
    checkTensors(describeModel("8b"), {
      ...storeOf("8b"),
      unreadable: new Map([[saved, { ...stored, dtype: "F64" }]]),
    });
  });

  it("names a number format that is not read", () => {
    const store = storeOf("8b", (shapes) => shapes.delete("mlp1.3.bias"));
    const stored = {
      name: "mlp1.3.bias",
      dtype: "F64",
      shape: [4096],
      file: "1.safetensors",
      start: 0,
      end: 0,
    };
    const unreadable = new Map([["mlp1.3.bias", stored]]);
    const message = refusal(() =>
      checkTensors(describeModel("8b"), { ...store, unreadable, label: "a folder" }),
    );
    expect(message).toContain("mlp1.3.bias is F64, wanted BF16, F16 or F32");
    expect(message).not.toContain("missing");
    expect(message.startsWith("a folder: ")).toBe(true);
  });

  it("shortens long lists", () => {
    const message = refusal(() =>
      checkTensors(
        describeModel("8b"),
        storeOf("8b", (shapes) => shapes.clear()),
      ),
    );
    expect(message).toContain("missing (573):");
    expect(message).toContain("and 565 more");
  });
});
