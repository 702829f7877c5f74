import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goldenModels, goldenTokenizer } from "../../test/golden-tokenizers.ts";
import { readGolden } from "../../test/support/golden.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { AnswerText } from "./answer-text.ts";

/** All that CPython's `str.isspace` is true for. */
const pythonSpaces = [
  ...["\t", "\n", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f", " ", "\x85", "\xa0", "\u1680"],
  ...Array.from({ length: 11 }, (_, i) => String.fromCharCode(0x2000 + i)),
  ...["\u2028", "\u2029", "\u202f", "\u205f", "\u3000"],
];

/** Python's `text.split(end)[0]` for the earliest of several ends, then `.strip()`. */
function whole(text: string, ends: readonly string[]): string {
  const cuts = ends.map((end) => text.indexOf(end)).filter((at) => at >= 0);
  const characters = [...text.slice(0, Math.min(...cuts, text.length))];
  while (pythonSpaces.includes(characters[0])) characters.shift();
  while (pythonSpaces.includes(characters[characters.length - 1])) characters.pop();
  return characters.join("");
}

function pieces(tokenizer: Tokenizer, ids: readonly number[], ends: readonly string[]): string[] {
  const answer = new AnswerText(tokenizer, ends);
  return [...ids.map((id) => answer.push(id)), answer.finish()];
}

const idsOf = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text, { addSpecial: false });

describe.each(goldenModels)("answers of %s", (model) => {
  const tokenizer = goldenTokenizer(model);
  const known = Array.from({ length: tokenizer.vocabularySize }, (_, id) => id).filter(
    (id) => tokenizer.tokenOf(id) !== undefined,
  );
  /** Where most trouble is: white space, single bytes, and what the ends below begin with. */
  const awkward = known.filter((id) => {
    const text = tokenizer.isSpecial(id) ? "" : new TextDecoder().decode(tokenizer.bytesOf(id));
    return text.length < 2 || text.trim() === "" || /[<|.?'n]/.test(text);
  });
  const token = fc.oneof(fc.constantFrom(...known), fc.constantFrom(...awkward));

  it("are, piece by piece, what the published code makes of the whole", () => {
    const end = fc.oneof(
      fc.constantFrom("<|im_end|>", "<|end|>", " ", "\n\n", ".", " the", "aab", "ab", "\ufffd"),
      fc.string({ minLength: 1, maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 60 }), fc.array(end, { maxLength: 3 }), (ids, ends) => {
        expect(pieces(tokenizer, ids, ends).join("")).toBe(whole(tokenizer.decode(ids), ends));
      }),
      { numRuns: 150 },
    );
  });

  it("are those of the golden conversations", () => {
    for (const { greedy, greedy_text } of readGolden(model).cases) {
      expect(pieces(tokenizer, greedy, ["<|im_end|>"]).join("")).toBe(whole(greedy_text, []));
    }
  });
});

describe("AnswerText", () => {
  const tokenizer = goldenTokenizer("tiny-76b");

  it("ends at a text that is spread over several tokens, and gives none of it away", () => {
    const ids = [..."All is well. STOP now"].flatMap((character) => idsOf(tokenizer, character));
    const got = pieces(tokenizer, ids, ["STOP"]);
    expect(got.join("")).toBe("All is well.");
    expect(got.length).toBeGreaterThan(20);
    expect(got.filter((piece) => piece !== "").length).toBeGreaterThan(5);
  });

  it("gives away what only looked like the end", () => {
    const ids = [..."STO STOOP"].flatMap((character) => idsOf(tokenizer, character));
    expect(pieces(tokenizer, ids, ["STOP"]).join("")).toBe("STO STOOP");
  });

  it("strips what Python calls white space, and keeps what only JavaScript does", () => {
    const inside = `a${pythonSpaces.join("")}b`;
    const ids = idsOf(tokenizer, `${pythonSpaces.join("")}${inside}${pythonSpaces.join("")}`);
    expect(pieces(tokenizer, ids, []).join("")).toBe(inside);
    const mark = "\ufeff"; // `trim` takes it away
    expect(pieces(tokenizer, idsOf(tokenizer, `${mark}x${mark}`), []).join("")).toBe(`${mark}x${mark}`);
  });

  it("is empty for an answer of white space, of nothing, or of an end alone", () => {
    for (const text of ["", " \n ", "END", " END more"]) {
      expect(pieces(tokenizer, idsOf(tokenizer, text), ["END"]).join("")).toBe("");
    }
  });
});
