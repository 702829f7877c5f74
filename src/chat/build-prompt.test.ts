import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenFolder, goldenModels } from "../../test/golden-tokenizers.ts";
import { conversationOf, readGolden, tilesAtMarks } from "../../test/support/golden.ts";
import { ConfigError, OptionError, PromptError } from "../errors.ts";
import { buildPrompt, countMarks, placeImages } from "./build-prompt.ts";
import { templateOf } from "./templates.ts";

const contextToken = "<IMG_CONTEXT>";
const countOf = (text: string, part: string) => text.split(part).length - 1;

describe.each(goldenModels)("the prompts of %s", (model) => {
  const { template } = JSON.parse(readFileSync(join(goldenFolder(model), "config.json"), "utf8"));
  const golden = readGolden(model);

  it.each(golden.cases.map((which) => [which.name, which] as const))("%s", (_, which) => {
    const tiles = tilesAtMarks(which);
    const tokensPerTile = golden.tokens_per_tile;
    const text = buildPrompt({ template, ...conversationOf(which), tiles, tokensPerTile });
    expect(text.replaceAll(contextToken, "")).toBe(which.query_without_context);
    const shown = tiles.reduce((sum, count) => sum + count, 0);
    expect(countOf(text, contextToken)).toBe(shown * tokensPerTile);
    // A prompt with another system message is another prompt: the comparison above can fail.
    const other = buildPrompt({
      template,
      ...conversationOf(which),
      tiles,
      tokensPerTile,
      systemMessage: ".",
    });
    expect(other.replaceAll(contextToken, "")).not.toBe(which.query_without_context);
  });
});

describe("buildPrompt", () => {
  it("has the published defaults: InternVL2-8B's template, 256 tokens a tile", () => {
    const text = buildPrompt({ question: "<image>\nWhat is it?", tiles: [7] });
    const image = `<img>${contextToken.repeat(7 * 256)}</img>`;
    const { systemMessage } = templateOf("internlm2-chat");
    expect(text).toBe(
      `<|im_start|>system\n${systemMessage}<|im_end|><|im_start|>user\n${image}\nWhat is it?<|im_end|><|im_start|>assistant\n`,
    );
    expect(systemMessage).toContain("模型，英文名叫InternVL, 是");
  });

  it("writes Phi-3's conversations with its own roles and end", () => {
    const text = buildPrompt({ template: "phi3-chat", question: "Hi", systemMessage: "S" });
    expect(text).toBe("<|system|>\nS<|end|><|user|>\nHi<|end|><|assistant|>\n");
  });

  it("places pictures in order over the whole conversation", () => {
    const text = buildPrompt({
      history: [
        { question: "<image> and <image>", answer: "two" },
        { question: "no picture", answer: "none" },
      ],
      question: "now <image>",
      tiles: [1, 2, 3],
      tokensPerTile: 1,
      systemMessage: "S",
    });
    const image = (count: number) => `<img>${contextToken.repeat(count)}</img>`;
    expect(text).toBe(
      "<|im_start|>system\nS<|im_end|>" +
        `<|im_start|>user\n${image(1)} and ${image(2)}<|im_end|><|im_start|>assistant\ntwo<|im_end|>` +
        "<|im_start|>user\nno picture<|im_end|><|im_start|>assistant\nnone<|im_end|>" +
        `<|im_start|>user\nnow ${image(3)}<|im_end|><|im_start|>assistant\n`,
    );
  });

  it("takes marks in answers and in the system message for plain text", () => {
    const history = [{ question: "What stands for a picture?", answer: "<image> does" }];
    const text = buildPrompt({
      history,
      question: "<image>",
      tiles: [1],
      tokensPerTile: 1,
      systemMessage: "<image>",
    });
    expect(text).toContain("assistant\n<image> does<|im_end|>");
    expect(text).toContain("system\n<image><|im_end|>");
    expect(countOf(text, contextToken)).toBe(1);
  });

  it("writes an empty message as its role alone, as published", () => {
    const history = [{ question: "", answer: "" }];
    const text = buildPrompt({ history, question: "Hi", systemMessage: "" });
    expect(text).toBe(
      "<|im_start|>system\n<|im_end|><|im_start|>user\n<|im_start|>assistant\n<|im_start|>user\nHi<|im_end|><|im_start|>assistant\n",
    );
  });

  it("says how many marks and pictures there are when they are not as many", () => {
    const build = (question: string, tiles: number[]) => () => buildPrompt({ question, tiles });
    expect(build("<image> <image>", [1])).toThrow(PromptError);
    expect(build("<image> <image>", [1])).toThrow(
      "the conversation has 2 <image> marks for 1 picture: give a picture",
    );
    expect(build("What is it?", [1, 1])).toThrow("no <image> marks for 2 pictures: write <image> where");
    expect(build("<image>", [])).toThrow("1 <image> mark for no pictures");
  });

  it("refuses tiles that cannot be counted, and templates of other models", () => {
    for (const count of [0, -1, 1.5, Number.NaN]) {
      expect(() => buildPrompt({ question: "<image>", tiles: [count] })).toThrow(OptionError);
    }
    expect(() => buildPrompt({ question: "Hi", template: "vicuna_v1.1" })).toThrow(ConfigError);
    expect(() => buildPrompt({ question: "Hi", template: "vicuna_v1.1" })).toThrow(
      "internlm2-chat, Hermes-2, phi3-chat",
    );
  });
});

describe("placeImages", () => {
  it("counts and places marks at either end and side by side", () => {
    expect(countMarks("<image><image>x<image>")).toBe(3);
    expect(placeImages("<image><image>x<image>", [1, 2, 1], 1)).toBe(
      `<img>${contextToken}</img><img>${contextToken}${contextToken}</img>x<img>${contextToken}</img>`,
    );
  });

  it("leaves other spellings alone", () => {
    expect(placeImages("<Image> <image > <IMAGE>", [], 1)).toBe("<Image> <image > <IMAGE>");
  });
});
