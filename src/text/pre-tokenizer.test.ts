import { describe, expect, it } from "vitest";
import { TokenizerError } from "../errors.ts";
import { gpt2Pattern, parsePreTokenizer, patternPreTokenizer, qwen2Pattern } from "./pre-tokenizer.ts";

function words(pattern: string, text: string): string[] {
  const found: string[] = [];
  patternPreTokenizer(pattern, false, "test").forEachWord(text, (word) => found.push(word));
  return found;
}

describe("the published patterns", () => {
  it.each([
    ["Hello  world!\n\n x", ["Hello", " ", " world", "!\n\n", " x"]],
    ["it's I'LL we'ſ", ["it", "'s", " I", "'LL", " we", "'ſ"]],
    ["a1234", ["a", "1", "2", "3", "4"]],
    ["  \n  a", ["  \n", " ", " a"]],
    // White space to Unicode, but not to JavaScript's \s; and the other way round.
    ["a\u0085\u0085b", ["a", "\u0085", "\u0085b"]],
    ["a\uFEFF\uFEFFb", ["a", "\uFEFF\uFEFF", "b"]],
  ])("of Qwen2 cuts %j", (text, expected) => {
    expect(words(qwen2Pattern, text)).toEqual(expected);
  });

  it("of GPT-2 keeps numbers whole and knows small letters only in contractions", () => {
    expect(words(gpt2Pattern, "it's I'LL 1234 x")).toEqual(["it", "'s", " I", "'", "LL", " 1234", " x"]);
  });

  it("gives back what no alternative matches as words of its own", () => {
    expect(words("b+", "aabba")).toEqual(["aa", "bb", "a"]);
    expect(words("b*", "aab😀")).toEqual(["aa", "b", "😀"]);
  });

  it("answers a word that is too long for the engine with TokenizerError, or cuts it", () => {
    const word = "中".repeat(8_000_000);
    try {
      expect(words(qwen2Pattern, word).length).toBe(1);
    } catch (error) {
      expect(error).toBeInstanceOf(TokenizerError);
    }
  });
});

describe("parsePreTokenizer", () => {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  const split = (pattern: object, behavior: string, invert = false) => ({
    type: "Split",
    pattern,
    behavior,
    invert,
  });
  const cut = (node: object, text: string) => {
    const found: string[] = [];
    parsePreTokenizer(node, "tokenizer.json").forEachWord(text, (word) => found.push(word));
    return found;
  };
  const sequence = (...pretokenizers: object[]) => ({ type: "Sequence", pretokenizers });

  it("applies a sequence stage by stage", () => {
    const stages = sequence(
      split({ Regex: "\\p{N}" }, "Isolated"),
      split({ String: "." }, "Isolated"),
      byteLevel,
    );
    expect(cut(stages, "a.b12.c")).toEqual(["a", ".", "b", "1", "2", ".", "c"]);
    expect(cut(byteLevel, "a b")).toEqual(["a b"]);
    expect(cut({ type: "ByteLevel" }, "a b")).toEqual(["a", " b"]);
    expect(parsePreTokenizer({ type: "ByteLevel" }, "").addPrefixSpace).toBe(true);
  });

  it.each([
    [null],
    [{ type: "Metaspace" }],
    [split({ Regex: "a" }, "Isolated")],
    [sequence(split({ Regex: "a" }, "Removed"), byteLevel)],
    [sequence(split({ Regex: "(" }, "Isolated"), byteLevel)],
    [sequence(split({ Regex: 3 }, "Isolated"), byteLevel)],
    [sequence({ type: "Digits" }, byteLevel)],
  ])("refuses %j", (node) => {
    expect(() => parsePreTokenizer(node, "tokenizer.json")).toThrow(TokenizerError);
  });
});
