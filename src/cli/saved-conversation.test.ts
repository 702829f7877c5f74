import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FileError } from "../errors.ts";
import { parseConversation, readConversation, saveConversation } from "./saved-conversation.ts";

const conversation = {
  model: "Org/Name",
  systemMessage: "Be kind.",
  maxTiles: 4,
  turns: [
    { question: "<image>\nWhat?", answer: "A cat.", media: [{ image: "/a b.jpg" }] },
    {
      question: "Frame1: <image>\nAnd?",
      answer: "It runs.",
      media: [{ video: "/c.mp4", segments: 1, bound: [0, 2] as const }],
    },
    { question: "Why?", answer: "", media: [] },
  ],
};

describe("a saved conversation", () => {
  it("comes back as it was", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "internvl-")), "talk.json");
    await saveConversation(file, conversation);
    expect(await readConversation(file)).toEqual({ format: "internvl conversation 1", ...conversation });
    await expect(saveConversation(join(file, "below"), conversation)).rejects.toThrow(FileError);
  });

  it("is refused by name of what is wrong", () => {
    const whole = { format: "internvl conversation 1", ...conversation };
    const cases: [unknown, string][] = [
      [[], "format"],
      [{ ...whole, format: "2" }, "format"],
      [{ ...whole, model: 1 }, "model"],
      [{ ...whole, systemMessage: [] }, "systemMessage"],
      [{ ...whole, maxTiles: "4" }, "maxTiles"],
      [{ ...whole, turns: {} }, "turns"],
      [{ ...whole, turns: [...whole.turns, { question: "?", answer: 1, media: [] }] }, "turn 4"],
      [{ ...whole, turns: [{ question: "?", answer: "", media: [{ video: "x" }] }] }, "turn 1"],
    ];
    for (const [value, named] of cases) {
      expect(() => parseConversation(JSON.stringify(value), "talk.json")).toThrow(named);
    }
  });

  it("is read or refused with a FileError, whatever happened to it", () => {
    const text = JSON.stringify({ format: "internvl conversation 1", ...conversation });
    fc.assert(
      fc.property(fc.nat(text.length), fc.string({ maxLength: 3 }), fc.nat(5), (at, put, cut) => {
        try {
          parseConversation(text.slice(0, at) + put + text.slice(at + cut), "talk.json");
        } catch (error) {
          expect(error).toBeInstanceOf(FileError);
        }
      }),
    );
  });
});
