import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TokenizerError } from "../errors.ts";
import { type AddedToken, AddedTokens, literalPattern, parseAddedToken } from "./added-tokens.ts";

function tokens(...list: (Partial<AddedToken> & { content: string })[]): AddedTokens {
  const added = new AddedTokens();
  for (const [id, token] of list.entries()) {
    added.add({ id, special: true, lstrip: false, rstrip: false, ...token }, "test");
  }
  return added;
}

function split(added: AddedTokens, text: string, strips = true): (string | number)[] {
  const parts: (string | number)[] = [];
  added.split(
    text,
    strips,
    (part) => parts.push(part),
    (id) => parts.push(id),
  );
  return parts;
}

describe("AddedTokens", () => {
  it("cuts out the longest token that begins first", () => {
    const added = tokens({ content: "<a>" }, { content: "<a><b>" }, { content: "b>" }, { content: "[.*" });
    expect(split(added, "x<a><b>y<a>z<b>")).toEqual(["x", 1, "y", 0, "z<", 2]);
    expect(split(added, "[.*[x*")).toEqual([3, "[x*"]);
    expect(split(added, "")).toEqual([]);
    expect(split(tokens(), "<a>")).toEqual(["<a>"]);
  });

  it("swallows whitespace where the token says so, and only where it is honoured", () => {
    const added = tokens(
      { content: "<l>", lstrip: true },
      { content: "<r>", rstrip: true },
      { content: "<n>" },
    );
    expect(split(added, "a \n<l> b")).toEqual(["a", 0, " b"]);
    expect(split(added, "a <r> \n\u3000b")).toEqual(["a ", 1, "b"]);
    expect(split(added, "<r> <n> <l> <r> ")).toEqual([1, 2, 0, " ", 1]);
    expect(split(added, "a <n> b")).toEqual(["a ", 2, " b"]);
    expect(split(added, "a <l> <r> b", false)).toEqual(["a ", 0, " ", 1, " b"]);
  });

  it("says where each stretch began", () => {
    const starts: number[] = [];
    tokens({ content: "<n>" }).split(
      "a<n>b",
      true,
      (_, start) => starts.push(start),
      () => {},
    );
    expect(starts).toEqual([0, 4]);
  });

  it("loses nothing of a text", () => {
    const added = tokens({ content: "ab" }, { content: "b" }, { content: "bca" });
    const text = fc
      .array(fc.constantFrom("a", "b", "c", "😀"), { maxLength: 30 })
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, (input) => {
        const back = split(added, input).map((part) =>
          typeof part === "number" ? added.at(part)!.content : part,
        );
        expect(back.join("")).toBe(input);
      }),
    );
  });

  it("keeps the first word on a token, but for special, and refuses contradictions", () => {
    const added = tokens({ content: "<a>", special: false, rstrip: true });
    added.add({ content: "<a>", id: 0, special: true, lstrip: false, rstrip: false }, "test");
    expect(added.at(0)).toEqual({ content: "<a>", id: 0, special: true, lstrip: false, rstrip: true });
    const plain = { special: false, lstrip: false, rstrip: false };
    expect(() => added.add({ content: "<a>", id: 1, ...plain }, "test")).toThrow(TokenizerError);
    expect(() => added.add({ content: "<b>", id: 0, ...plain }, "test")).toThrow(TokenizerError);
  });
});

describe("parseAddedToken", () => {
  it("reads the flags, and refuses what it cannot honour", () => {
    expect(parseAddedToken({ content: "<a>", rstrip: true }, 7, "f")).toEqual({
      content: "<a>",
      id: 7,
      special: false,
      lstrip: false,
      rstrip: true,
    });
    expect(() => parseAddedToken({ content: "<a>", single_word: true }, 7, "f")).toThrow(/single_word/);
    expect(() => parseAddedToken({ content: "" }, 7, "f")).toThrow(TokenizerError);
    expect(() => parseAddedToken({ content: "<a>", special: 1 }, 7, "f")).toThrow(TokenizerError);
  });
});

describe("literalPattern", () => {
  it("takes every character literally", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (literal) => {
        expect(literal.match(literalPattern([literal]))?.[0]).toBe(literal);
      }),
    );
  });
});
