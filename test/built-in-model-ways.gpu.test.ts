import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { InternVL, type LoadOptions } from "../src/index.ts";
import { presentAdapters, settingsFor } from "./support/adapters.ts";
import { ask, type Sample, samples } from "./support/demo-samples.ts";

/** The first sample of a skill. */
function sampleOf(skill: string): Sample {
  return samples.find((sample) => sample.skill === skill)!;
}

const adapters = await presentAdapters("lavapipe");
const every = [...new Set(samples.map(({ skill }) => skill))];
const some = ["colour", "word", "chart value", "form"];

describe("the built-in model answers as ever", () => {
  let plain: InternVL;
  beforeAll(async () => {
    plain = await InternVL.load("demo", { device: "cpu" });
  }, 120_000);
  afterAll(() => plain.dispose());
  afterEach(() => vi.unstubAllEnvs());

  async function expectAlike(options: LoadOptions, skills: readonly string[]) {
    const model = await InternVL.load("demo", options);
    const answers: Record<"wanted" | "got", Record<string, string>> = { wanted: {}, got: {} };
    try {
      for (const skill of skills) {
        answers.wanted[skill] = await ask(plain, sampleOf(skill));
        answers.got[skill] = await ask(model, sampleOf(skill));
      }
    } finally {
      await model.dispose();
    }
    expect(answers.got).toEqual(answers.wanted);
    // Different answers, so that a model which says one thing to all is found out.
    expect(new Set(Object.values(answers.got)).size).toBeGreaterThan(1);
  }

  it.each(["int8", "int4"] as const)(
    "with weights in %s, to a question of every skill",
    (weights) => expectAlike({ device: "cpu", weights }, every),
    120_000,
  );

  it("by WebAssembly", async () => {
    vi.stubEnv("INTERNVL_CPU", "wasm");
    await expectAlike({ device: "cpu" }, some);
  }, 120_000);

  it.each(adapters)(
    "by WebGPU on %s",
    async (adapter) => {
      vi.stubEnv("INTERNVL_WEBGPU", settingsFor(adapter));
      await expectAlike({ device: "webgpu" }, some.slice(0, 2));
    },
    240_000,
  );
});
