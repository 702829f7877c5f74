import { join } from "node:path";
import { SentencePieceProcessor } from "@agnai/sentencepiece-js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goldenFolder, goldenTokenizer } from "../../test/golden-tokenizers.ts";
import { TokenizerError } from "../errors.ts";
import { SentencePiece } from "./sentencepiece.ts";
import { type Piece, pieceType, type SentencePieceModel } from "./sentencepiece-model.ts";

/** Text of the kinds that trouble tokenizers. */
const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.string({ unit: "grapheme", maxLength: 8 }),
      fc.constantFrom(
        "the ",
        " of",
        "import self.",
        "    ",
        "\n\n",
        "\t",
        "中文字符",
        "日本語",
        "한국어",
        "👩‍👩‍👧",
        "𠀀",
        "\0",
        "1234",
        "▁",
      ),
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(""));

describe.each(["tiny-2b", "tiny-4b", "tiny-8b", "tiny-26b", "tiny-v1"])(
  "%s against sentencepiece",
  (model) => {
    it("encodes random texts as the published C++ does", async () => {
      const oracle = new SentencePieceProcessor();
      await oracle.load(join(goldenFolder(model), "tokenizer.model"));
      const tokenizer = goldenTokenizer(model);
      const expected = (input: string): number[] => oracle.encodeIds(input);
      fc.assert(
        fc.property(text, (input) => {
          // The oracle takes C strings, which end at U+0000, and it knows no added tokens.
          fc.pre(!input.includes("\0") && !input.includes("<"));
          expect(tokenizer.encode(input, { addSpecial: false })).toEqual(expected(input));
        }),
        { numRuns: 300 },
      );
      expect(tokenizer.encode("import ", { addSpecial: false })).not.toEqual(expected("import"));
    });
  },
);

/** The published algorithm word for word: no tables, no heap, the best pair looked for anew each time. */
function encodeNaively(model: SentencePieceModel, input: string): number[] {
  const { pieces } = model;
  const idOf = (part: string) =>
    pieces.findIndex(({ text, type }) => text === part && (type === 1 || type === 4 || type === 5));
  const frozen = pieces.filter(({ type }) => type === pieceType.userDefined).map((piece) => piece.text);
  const escaped = (model.addDummyPrefix && input !== "" ? ` ${input}` : input).replaceAll(" ", "▁");
  let symbols: { text: string; isFrozen: boolean }[] = [];
  for (let at = 0; at < escaped.length; ) {
    const fitting = frozen
      .filter((piece) => escaped.startsWith(piece, at))
      .sort((a, b) => b.length - a.length);
    const symbol = fitting[0] ?? String.fromCodePoint(escaped.codePointAt(at)!);
    symbols.push({ text: symbol, isFrozen: fitting.length > 0 });
    at += symbol.length;
  }
  for (;;) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const id = idOf(symbols[at].text + symbols[at + 1].text);
      if (id < 0 || symbols[at].isFrozen || symbols[at + 1].isFrozen || pieces[id].score <= bestScore)
        continue;
      [best, bestScore] = [at, pieces[id].score];
    }
    if (best < 0) break;
    const merged = { text: symbols[best].text + symbols[best + 1].text, isFrozen: false };
    symbols = [...symbols.slice(0, best), merged, ...symbols.slice(best + 2)];
  }
  return symbols.flatMap(({ text }) => {
    const id = idOf(text);
    if (id >= 0) return [id];
    if (!model.byteFallback) return [0];
    return [...new TextEncoder().encode(text)].map((byte) => 1 + byte);
  });
}

describe("SentencePiece", () => {
  const unknown: Piece = { text: "<unk>", score: 0, type: pieceType.unknown };
  const bytes = Array.from({ length: 256 }, (_, byte): Piece => {
    const text = `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
    return { text, score: 0, type: pieceType.byte };
  });
  const letters = fc.constantFrom("a", "b", "c", " ", "é", "😀");
  const word = fc
    .array(letters, { minLength: 1, maxLength: 6 })
    .map((parts) => parts.join("").replaceAll(" ", "▁"));
  const model = fc
    .record({
      // Few distinct scores, so that ties are common; single characters may lack a piece.
      words: fc.uniqueArray(
        fc.record({ text: word, score: fc.integer({ min: -4, max: 0 }), frozen: fc.nat(9) }),
        {
          selector: (entry) => entry.text,
          maxLength: 30,
        },
      ),
      byteFallback: fc.boolean(),
      addDummyPrefix: fc.boolean(),
    })
    .map(
      ({ words, byteFallback, addDummyPrefix }): SentencePieceModel => ({
        pieces: [
          unknown,
          ...bytes,
          ...words.map(({ text, score, frozen }) => ({
            text,
            score,
            type: frozen === 0 ? pieceType.userDefined : pieceType.normal,
          })),
        ],
        byteFallback,
        addDummyPrefix,
        escapeWhitespaces: true,
        unknownSurface: " ⁇ ",
      }),
    );
  const inputs = fc.array(fc.oneof(letters, fc.constantFrom("x", "aaaa", "abab")), { maxLength: 40 });
  const encode = (of: SentencePieceModel, input: string): number[] => {
    const ids: number[] = [];
    new SentencePiece(of).encode(input, of.addDummyPrefix, ids);
    return ids;
  };

  it("agrees with the algorithm word for word, on random vocabularies", () => {
    fc.assert(
      fc.property(model, inputs, (of, parts) => {
        expect(encode(of, parts.join(""))).toEqual(encodeNaively(of, parts.join("")));
      }),
      { numRuns: 500 },
    );
  });

  const small = (pieces: [string, number, number?][]): SentencePieceModel => ({
    pieces: [
      unknown,
      ...pieces.map(([text, score, type]) => ({ text, score, type: type ?? pieceType.normal })),
    ],
    byteFallback: false,
    addDummyPrefix: false,
    escapeWhitespaces: true,
    unknownSurface: " ⁇ ",
  });

  it("merges the leftmost of equal pairs, and the highest score first", () => {
    const tied = small([
      ["a", -9],
      ["aa", -1],
      ["b", -9],
      ["ab", -1],
    ]);
    expect(encode(tied, "aaab")).toEqual([2, 4]);
    expect(encode(tied, "aab")).toEqual([2, 3]);
    expect(
      encode(
        small([
          ["a", -9],
          ["aa", -2],
          ["b", -9],
          ["ab", -1],
        ]),
        "aab",
      ),
    ).toEqual([1, 4]);
  });

  it("takes pieces of type UNUSED apart again", () => {
    const unused = small([
      ["a", -9],
      ["b", -9],
      ["ab", -1, pieceType.unused],
      ["abb", -2],
    ]);
    expect(encode(unused, "ab")).toEqual([1, 2]);
    expect(encode(unused, "abb")).toEqual([4]);
  });

  it("never makes control pieces from text", () => {
    expect(
      encode(
        small([
          ["<", -9],
          ["s", -9],
          [">", -9],
          ["<s", -1],
          ["<s>", 0, pieceType.control],
        ]),
        "<s>",
      ),
    ).toEqual([4, 3]);
  });

  it("gives UNKNOWN for characters it lacks, one for each, and for half of a surrogate pair", () => {
    expect(encode(small([["a", -1]]), "a😀\uD83Da")).toEqual([1, 0, 0, 1]);
  });

  it("refuses vocabularies that cannot encode every text, and repeated pieces", () => {
    const refused = [
      { ...small([["a", -1]]), byteFallback: true },
      { ...small([["a", -1]]), pieces: [{ text: "a", score: 0, type: pieceType.normal }] },
      small([
        ["a", -1],
        ["a", -2],
      ]),
      small([["<0xZZ>", 0, pieceType.byte]]),
    ];
    for (const of of refused) expect(() => new SentencePiece(of)).toThrow(TokenizerError);
  });
});
