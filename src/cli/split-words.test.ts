import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitWords } from "./split-words.ts";

describe("splitWords", () => {
  it.each([
    ["", []],
    ["  a   b ", ["a", "b"]],
    ["'a b' c", ["a b", "c"]],
    ['"a \\"b\\"" c', ['a "b"', "c"]],
    ["a\\ b.jpg", ["a b.jpg"]],
    ["it's", ["it's"]],
    ["''", [""]],
    ["a'b'\"c\"", ["abc"]],
    ["C:\\\\pictures", ["C:\\pictures"]],
  ])("cuts %j", (line, words) => {
    expect(splitWords(line)).toEqual(words);
  });

  it("gives back whatever was quoted", () => {
    const quote = (word: string) => `'${word.replaceAll("'", `'"'"'`)}'`;
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" })), (words) => {
        expect(splitWords(words.map(quote).join(" "))).toEqual(words);
      }),
    );
  });

  it("takes any line", () => {
    fc.assert(fc.property(fc.string(), (line) => Array.isArray(splitWords(line))));
  });
});
