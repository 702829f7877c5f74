import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden-tokenizers.ts";
import { TokenizerError } from "../errors.ts";
import { parseSentencePieceModel, pieceType } from "./sentencepiece-model.ts";

const golden = new Uint8Array(readFileSync(join(goldenFolder("tiny-2b"), "tokenizer.model")));

/** Protobuf, just enough for these models: a length-delimited field, and a number. */
const block = (number: number, content: readonly number[]) => [number * 8 + 2, content.length, ...content];
const count = (number: number, value: number) =>
  number < 16 ? [number * 8, value] : [((number * 8) % 128) | 128, Math.floor((number * 8) / 128), value];
const utf8 = (text: string) => [...new TextEncoder().encode(text)];
const trainer = block(2, count(3, 2));
const normalizer = block(3, count(4, 0));
const model = (...parts: number[][]) => Uint8Array.from(parts.flat());

describe("parseSentencePieceModel", () => {
  it("reads pieces, scores, types and flags", () => {
    const { pieces, byteFallback, addDummyPrefix, escapeWhitespaces } = parseSentencePieceModel(golden);
    expect({ byteFallback, addDummyPrefix, escapeWhitespaces }).toEqual({
      byteFallback: true,
      addDummyPrefix: false,
      escapeWhitespaces: true,
    });
    expect(pieces.length).toBe(966);
    expect(pieces[0]).toEqual({ text: "<unk>", score: 0, type: pieceType.unknown });
    expect(pieces[3 + 0x41]).toEqual({ text: "<0x41>", score: 0, type: pieceType.byte });
    expect(pieces[965].type).toBe(pieceType.unused);
  });

  it("tolerates a piece that is U+0000, absent types and scores, and fields it does not know", () => {
    const bytes = model(
      block(1, block(1, utf8("\0"))),
      [9 * 8 + 1, 1, 2, 3, 4, 5, 6, 7, 8],
      trainer,
      normalizer,
    );
    expect(parseSentencePieceModel(bytes).pieces).toEqual([{ text: "\0", score: 0, type: pieceType.normal }]);
  });

  it("counts the pieces, whatever vocab_size says", () => {
    const bytes = model(
      block(1, block(1, utf8("a"))),
      block(2, [...count(3, 2), ...count(4, 99)]),
      normalizer,
    );
    expect(parseSentencePieceModel(bytes).pieces.length).toBe(1);
  });

  const piece = block(1, block(1, utf8("a")));
  it.each([
    ["a unigram model", model(piece, block(2, count(3, 1)), normalizer), /type 1, not BPE/],
    ["a model that names no type", model(piece, normalizer), /type 1, not BPE/],
    ["a character map", model(piece, trainer, block(3, [...block(2, [1]), ...count(4, 0)])), /normalises/],
    ["removed whitespace", model(piece, trainer, block(3, count(3, 1))), /extra whitespace/],
    ["whitespace as suffix", model(piece, block(2, [...count(3, 2), ...count(24, 1)]), normalizer), /suffix/],
    ["no pieces", model(trainer, normalizer), /no pieces/],
    ["a piece without text", model(block(1, []), trainer, normalizer), /without text/],
    ["a piece that is not UTF-8", model(block(1, block(1, [0xff])), trainer, normalizer), /UTF-8/],
    ["a type out of range", model(block(1, [...block(1, [97]), ...count(3, 7)])), /unknown type 7/],
    ["a field of another wire type", model(count(1, 5)), /wire type/],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => parseSentencePieceModel(bytes)).toThrow(TokenizerError);
    expect(() => parseSentencePieceModel(bytes)).toThrow(message);
  });

  it("refuses a truncated file at every length", () => {
    for (let length = 0; length < golden.length; length += 7) {
      expect(() => parseSentencePieceModel(golden.subarray(0, length))).toThrow(TokenizerError);
    }
  });

  it("answers garbage and changed bytes with a model or TokenizerError", () => {
    const attempt = (bytes: Uint8Array) => {
      try {
        parseSentencePieceModel(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(TokenizerError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt));
    const change = fc.array(fc.tuple(fc.nat(golden.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(change, (changes) => {
        const bytes = golden.slice();
        for (const [at, byte] of changes) bytes[at] = byte;
        attempt(bytes);
      }),
    );
  });
});
