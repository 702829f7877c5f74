import { describe, expect, it } from "vitest";
import { OptionError } from "../errors.ts";
import { chatOptionNames, checkOptionNames } from "./option-names.ts";

const refusal = (options: object): OptionError => {
  try {
    checkOptionNames(options, chatOptionNames);
  } catch (error) {
    if (error instanceof OptionError) return error;
  }
  throw new Error("was not refused");
};

describe("checkOptionNames", () => {
  it("lets every option of a question through, and what is undefined", () => {
    const all = Object.fromEntries([...chatOptionNames].map((name) => [name, 1]));
    expect(() => checkOptionNames(all, chatOptionNames)).not.toThrow();
    expect(() => checkOptionNames({ max_new_tokens: undefined }, chatOptionNames)).not.toThrow();
  });

  it.each([
    ["max_new_tokens", "maxNewTokens"],
    ["do_sample", "doSample"],
    ["num_beams", "numBeams"],
    ["top_p", "topP"],
    ["max_num", "maxTiles"],
    ["num_segments", "segments"],
  ])("tells a user of the reference what %s is called", (theirs, ours) => {
    const error = refusal({ [theirs]: 5 });
    expect(error.message).toBe(`${theirs}: is not an option; it is called ${ours} here (got 5)`);
    expect(error).toMatchObject({ option: theirs, value: 5, code: "OPTION" });
  });

  it("lists what is known for anything else", () => {
    expect(refusal({ presencePenalty: 1 }).message).toContain("known are images, video, segments");
    expect(refusal({ maxnewtokens: 1 }).message).toContain("maxNewTokens");
  });
});
