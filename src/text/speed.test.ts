import { existsSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import {
  goldenTokenizer,
  readExpected,
  readTokenizerFiles,
  realTokenizerFolder,
} from "../../test/golden-tokenizers.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

// Floors far below what is measured: they are here to catch work that grows with the square of the text.

function seconds(tokenizer: Tokenizer, text: string): number {
  const start = performance.now();
  tokenizer.encode(text);
  return (performance.now() - start) / 1000;
}

const million = 1_000_000;
const mixed = readExpected("tiny-8b")
  .tokenizer.map(({ text }) => text)
  .join("\n");
const longText = mixed.repeat(Math.ceil(million / mixed.length)).slice(0, million);

describe.each(["tiny-1b", "tiny-8b", "tiny-76b"])("the speed of %s", (model) => {
  const tokenizer = goldenTokenizer(model);

  it.each(["a", " ", "=", "中", "😀"])("stays linear on a million times %j", (character) => {
    expect(seconds(tokenizer, character.repeat(million / character.length))).toBeLessThan(20);
  });

  it("is at least 100,000 characters a second on mixed text", () => {
    expect(longText.length / seconds(tokenizer, longText)).toBeGreaterThan(100_000);
  });
});

describe.skipIf(!existsSync(realTokenizerFolder))("the speed of the real tokenizer of InternVL2-2B", () => {
  let tokenizer: Tokenizer;
  beforeAll(() => {
    tokenizer = createTokenizer(readTokenizerFiles(realTokenizerFolder));
  });

  it("is at least 300,000 characters a second on mixed text", () => {
    const best = Math.min(...[1, 2, 3].map(() => seconds(tokenizer, longText)));
    expect(longText.length / best).toBeGreaterThan(300_000);
  });

  it.each(["x", " ", "=", "中", "["])("takes less than 3 s for a megabyte of %j", (character) => {
    const text = character.repeat(million);
    expect(Math.min(seconds(tokenizer, text), seconds(tokenizer, text))).toBeLessThan(3);
  });
});
