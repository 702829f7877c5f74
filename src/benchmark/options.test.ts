import { describe, expect, it } from "vitest";
import { OptionError } from "../errors.ts";
import { type BenchmarkOptions, resolveBenchmarkOptions } from "./options.ts";
import { syntheticSubject, withLayers } from "./shapes.ts";

const { description } = syntheticSubject("8b");

describe("the options of a benchmark", () => {
  it("have the documented defaults, and undefined means them", () => {
    expect(resolveBenchmarkOptions({ tiles: undefined }, description)).toEqual({
      device: "auto",
      precision: "fast",
      weights: "checkpoint",
      layers: 32,
      tiles: 7,
      promptTokens: 64,
      newTokens: 32,
      batch: 1,
      repeat: 3,
      roofline: false,
    });
  });

  it.each([
    { layers: 0 },
    { layers: 1.5 },
    { tiles: -1 },
    { promptTokens: 0 },
    { newTokens: 0 },
    { batch: 0 },
    { batch: 257 },
    { repeat: Number.NaN },
    { promptTokens: 32768 },
    { tiles: 128 },
  ] satisfies BenchmarkOptions[])("refuse %j", (options) => {
    expect(() => resolveBenchmarkOptions(options, description)).toThrow(OptionError);
  });

  it("may fill the context to its last token", () => {
    const room = 32768 - 7 * 256 - 32 - 1;
    expect(resolveBenchmarkOptions({ promptTokens: room }, description).promptTokens).toBe(room);
    expect(() => resolveBenchmarkOptions({ promptTokens: room + 1 }, description)).toThrow(`at most ${room}`);
  });
});

describe("shapes", () => {
  it.each(["8b", "internvl2-8b", "InternVL2-8B", "OpenGVLab/InternVL2-8B"])("%s is the 8B", (name) => {
    const subject = syntheticSubject(name);
    expect(subject.name).toBe("internvl2-8b");
    expect(subject.description.language.hiddenSize).toBe(4096);
  });

  it("knows the 76B by its published name, and refuses what is none", () => {
    expect(syntheticSubject("InternVL2-Llama3-76B").description.language.layers).toBe(80);
    expect(() => syntheticSubject("7b")).toThrow("1b, 2b, 4b, 8b, 26b, 40b, 76b");
    expect(() => syntheticSubject("toString")).toThrow(OptionError);
  });

  it("can be cut to fewer layers, not stretched to more", () => {
    const cut = withLayers(description, 28);
    expect([cut.vision.layers, cut.projector.visionStates, cut.language.layers]).toEqual([24, 24, 28]);
    const two = withLayers(description, 2);
    expect([two.vision.layers, two.projector.visionStates, two.language.layers]).toEqual([2, 2, 2]);
  });
});
