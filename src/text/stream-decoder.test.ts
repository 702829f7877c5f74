import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goldenModels, goldenTokenizer, readExpected } from "../../test/golden-tokenizers.ts";
import { TokenizerError } from "../errors.ts";
import { StreamDecoder } from "./stream-decoder.ts";
import type { Tokenizer } from "./tokenizer.ts";

function stream(tokenizer: Tokenizer, ids: readonly number[]): string[] {
  const decoder = new StreamDecoder(tokenizer);
  return [...ids.map((id) => decoder.push(id)), decoder.finish()];
}

describe.each(goldenModels)("StreamDecoder with %s", (model) => {
  const tokenizer = goldenTokenizer(model);
  const spaces = [
    " ",
    "  ",
    " '",
    " n",
    "'",
    "t",
    "s",
    ".",
    ",",
    "▁",
    "▁'",
    "▁n",
    "Ġ",
    "Ġ'",
    "Ġn",
    "<0x20>",
    "<0x27>",
    "<0x2E>",
  ];
  const awkward = spaces.map((token) => tokenizer.idOf(token)).filter((id) => id !== undefined);
  const id = fc.oneof(
    fc.nat(tokenizer.vocabularySize - 1),
    fc.constantFrom(...awkward),
    // The byte tokens, whole characters of which come together only now and then.
    fc.nat(258),
  );

  it("adds up to decode, for any ids", () => {
    fc.assert(
      fc.property(fc.array(id, { maxLength: 60 }), (ids) => {
        expect(stream(tokenizer, ids).join("")).toBe(tokenizer.decode(ids));
      }),
      { numRuns: 1000 },
    );
  });

  it("adds up to the golden texts, and is caught when an id is left out", () => {
    for (const { text, ids, decoded } of readExpected(model).tokenizer) {
      expect(stream(tokenizer, ids).join("")).toBe(decoded);
      if (/^[a-z]/.test(text)) expect(stream(tokenizer, ids.slice(0, -1)).join("")).not.toBe(decoded);
    }
  });

  it("gives text as soon as it is certain", () => {
    const ids = tokenizer.encode("The quick brown fox and 中文 too", { addSpecial: false });
    const pieces = stream(tokenizer, ids);
    expect(pieces.filter((piece) => piece !== "").length).toBeGreaterThan(ids.length / 2);
    expect(pieces.join("")).not.toContain("\uFFFD");
  });

  it("refuses an id without a token", () => {
    expect(() => new StreamDecoder(tokenizer).push(tokenizer.vocabularySize)).toThrow(TokenizerError);
  });
});
