import { describe, expect, it } from "vitest";
import { OptionError } from "../errors.ts";
import { type GenerationOptions, resolveOptions } from "./options.ts";

describe("resolveOptions", () => {
  it("fills in the reference's defaults, and a seed", () => {
    const { seed, ...rest } = resolveOptions({}, 1000);
    expect(Number.isSafeInteger(seed)).toBe(true);
    expect(rest).toEqual({
      maxNewTokens: 1024,
      minNewTokens: 0,
      doSample: false,
      temperature: 1,
      topK: 50,
      topP: 1,
      repetitionPenalty: 1,
      numBeams: 1,
      lengthPenalty: 1,
      earlyStopping: false,
      numReturnSequences: 1,
      stop: [],
    });
  });

  const refused: [GenerationOptions, string][] = [
    [{ maxNewTokens: 0 }, "maxNewTokens"],
    [{ maxNewTokens: 1.5 }, "maxNewTokens"],
    [{ maxNewTokens: Number.NaN }, "maxNewTokens"],
    [{ maxNewTokens: "9" as never }, "maxNewTokens"],
    [{ minNewTokens: -1 }, "minNewTokens"],
    [{ minNewTokens: 9, maxNewTokens: 8 }, "minNewTokens"],
    [{ doSample: true, temperature: 0 }, "temperature"],
    [{ doSample: true, temperature: -1 }, "temperature"],
    [{ doSample: true, topP: 0 }, "topP"],
    [{ doSample: true, topP: 1.1 }, "topP"],
    [{ doSample: true, topK: -1 }, "topK"],
    [{ doSample: 1 as never }, "doSample"],
    [{ repetitionPenalty: 0 }, "repetitionPenalty"],
    [{ numBeams: 0 }, "numBeams"],
    [{ numBeams: 65 }, "numBeams"],
    [{ numBeams: 2, doSample: true }, "numBeams"],
    [{ numBeams: 2, numReturnSequences: 3 }, "numReturnSequences"],
    [{ numReturnSequences: 2 }, "numReturnSequences"],
    [{ numBeams: 2, stop: ["a text"] }, "stop"],
    [{ stop: [""] }, "stop"],
    [{ stop: [1000] }, "stop"],
    [{ stop: "a text" as never }, "stop"],
    [{ earlyStopping: true }, "earlyStopping"],
    [{ numBeams: 2, earlyStopping: "soon" as never }, "earlyStopping"],
    // What only sampling reads would be ignored without it.
    [{ temperature: 0.7 }, "temperature"],
    [{ topK: 1 }, "topK"],
    [{ topP: 0.9 }, "topP"],
    [{ seed: 1 }, "seed"],
  ];
  it.each(refused)("refuses %j by name", (options, option) => {
    const error = catchError(() => resolveOptions(options, 1000));
    expect(error).toBeInstanceOf(OptionError);
    expect((error as OptionError).option).toBe(option);
  });

  it("takes what lies at the borders", () => {
    const borders: GenerationOptions[] = [
      { doSample: true, topP: 1, topK: 0, temperature: 0.01, seed: 0 },
      { numBeams: 64, numReturnSequences: 64, earlyStopping: "never", lengthPenalty: -2, stop: [0, 999] },
      { maxNewTokens: 1, minNewTokens: 1, stop: ["x"] },
      { temperature: undefined },
    ];
    for (const options of borders) expect(() => resolveOptions(options, 1000)).not.toThrow();
  });
});

function catchError(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}
