import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { bytesText, countText, flopText, forOutput, table } from "./text.ts";

describe("numbers for people", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [999.6, "1.00 kB"],
    [2048, "2.05 kB"],
    [16_150_730_752, "16.2 GB"],
    [999_400_000, "999 MB"],
    [999_600_000, "1.00 GB"],
  ])("writes %d bytes", (bytes, text) => expect(bytesText(bytes)).toBe(text));

  it("writes work and counts", () => {
    expect(flopText(14e9)).toBe("14.0 GFLOP");
    expect(countText(8_075_365_376)).toBe("8.08 billion");
    expect(countText(304_012_288)).toBe("304.0 million");
    expect(countText(1234)).toBe("1,234");
  });
});

describe("output", () => {
  it("sets two columns", () => {
    const rows = [
      ["a", "1"],
      ["long", "2"],
      ["", "3"],
    ] as const;
    expect(table(rows)).toBe("a     1\nlong  2\n      3");
  });

  it("keeps control characters from terminals only", () => {
    const text = "a\x1b[2J\x07b\tc\n\x9b";
    expect(forOutput(new PassThrough(), text)).toBe(text);
    expect(forOutput(Object.assign(new PassThrough(), { isTTY: true }), text)).toBe("a[2Jb\tc\n");
  });
});
