import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createUtf8Decoder, type InvalidBytes, wellFormed } from "./utf8.ts";

function decode(bytes: Uint8Array, rule: InvalidBytes, cuts: readonly number[] = []): string {
  const decoder = createUtf8Decoder(rule);
  let text = "";
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    text += decoder.push(bytes.subarray(from, cut));
    from = Math.max(from, cut);
  }
  return text + decoder.push(bytes.subarray(from)) + decoder.finish();
}

/** Bytes that are often nearly UTF-8. */
const nearly = fc
  .array(
    fc.oneof(
      fc
        .constantFrom("a", "é", "中", "😀", "\uFEFF", "\0")
        .map((text) => [...new TextEncoder().encode(text)]),
      fc.constantFrom(
        [0xe4, 0xb8],
        [0xf0, 0x9f, 0x98],
        [0xc0, 0x80],
        [0xed, 0xa0, 0x80],
        [0xf4, 0x90, 0x80, 0x80],
        [0x80],
      ),
      fc.array(fc.nat(255), { maxLength: 3 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Uint8Array.from(parts.flat()));

describe("createUtf8Decoder", () => {
  it("makes one U+FFFD of each invalid byte, or of the longest beginning of a character", () => {
    const broken = Uint8Array.of(0x61, 0xe4, 0xb8, 0x62, 0xf0, 0x9f, 0x98);
    expect(decode(broken, "each")).toBe("a\uFFFD\uFFFDb\uFFFD\uFFFD\uFFFD");
    expect(decode(broken, "longest")).toBe("a\uFFFDb\uFFFD");
  });

  it("refuses overlong forms, surrogates and what lies beyond U+10FFFF, byte by byte", () => {
    for (const bytes of [
      [0xc0, 0x80],
      [0xe0, 0x80, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
    ]) {
      expect(decode(Uint8Array.from(bytes), "each")).toBe("\uFFFD".repeat(bytes.length));
    }
  });

  it.each(["each", "longest"] as const)("with the rule %s, does not depend on how the bytes come", (rule) => {
    fc.assert(
      fc.property(nearly, fc.array(fc.nat(40), { maxLength: 10 }), (bytes, places) => {
        const cuts = places.map((place) => Math.min(place, bytes.length));
        expect(decode(bytes, rule, cuts)).toBe(decode(bytes, rule));
      }),
    );
  });

  it("gives valid text back, a U+FEFF in front included", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const bytes = new TextEncoder().encode(`\uFEFF${wellFormed(text)}`);
        expect(decode(bytes, "each")).toBe(`\uFEFF${text}`);
        expect(decode(bytes, "longest")).toBe(`\uFEFF${text}`);
      }),
    );
  });

  it("agrees, byte by byte, with trying every length of character at every place", () => {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const first = (bytes: Uint8Array): string | undefined => {
      for (let length = 1; length <= Math.min(4, bytes.length); length++) {
        try {
          return strict.decode(bytes.subarray(0, length));
        } catch {
          // Longer, then.
        }
      }
      return undefined;
    };
    fc.assert(
      fc.property(nearly, (bytes) => {
        let expected = "";
        for (let at = 0; at < bytes.length; ) {
          const character = first(bytes.subarray(at));
          expected += character ?? "\uFFFD";
          at += character === undefined ? 1 : new TextEncoder().encode(character).length;
        }
        expect(decode(bytes, "each")).toBe(expected);
      }),
    );
  });
});

describe("wellFormed", () => {
  it("replaces halves of surrogate pairs only", () => {
    expect(wellFormed("a\uD83Db\uDE00😀")).toBe("a\uFFFDb\uFFFD😀");
  });
});
