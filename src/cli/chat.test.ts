import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenImage, goldenModel, runCommand } from "../../test/cli-world.ts";
import { InternVL } from "../chat/internvl.ts";

const model = goldenModel("tiny-2b");
const [golden] = (
  JSON.parse(readFileSync(join(model, "expected.json"), "utf8")) as {
    cases: { greedy_text: string; n_input_ids: number; beam3: { tokens: number[] }[] }[];
  }
).cases;
const question = "Hello, who are you?";
const exact = ["chat", "--model", model, "--device", "reference", "--precision", "f32"];

describe("internvl chat", () => {
  it("streams the golden answer, and a newline", async () => {
    const { exitCode, output, errors } = await runCommand([...exact, "--max-tokens", "12", question]);
    expect({ exitCode, output, errors }).toEqual({
      exitCode: 0,
      output: `${golden.greedy_text}\n`,
      errors: "",
    });
    // Another system message must show.
    const other = await runCommand([...exact, "--max-tokens", "12", "--system", "Be kind.", question]);
    expect(other.output).not.toBe(output);
  });

  it("reads the question from standard input, with and without -", async () => {
    for (const rest of [[], ["-"]]) {
      const { output } = await runCommand([...exact, "--max-tokens", "12", ...rest], {
        stdin: `${question}\n`,
      });
      expect(output).toBe(`${golden.greedy_text}\n`);
    }
    const words = await runCommand([...exact, "--max-tokens", "12", ...question.split(" ")]);
    expect(words.output).toBe(`${golden.greedy_text}\n`);
    const empty = await runCommand(exact, { stdin: "" });
    expect(empty).toMatchObject({ exitCode: 2, output: "" });
    expect(empty.errors).toContain("the question is empty");
  });

  it("takes the model from INTERNVL_MODEL, else the built-in one", async () => {
    const args = ["chat", "--device", "reference", "--precision", "f32", "--max-tokens", "12", question];
    expect((await runCommand(args, { env: { INTERNVL_MODEL: model } })).output).toBe(
      `${golden.greedy_text}\n`,
    );
    const builtIn = await runCommand(["chat", "--max-tokens", "40", "Who are you?"]);
    expect(builtIn).toMatchObject({ exitCode: 0, errors: "" });
    expect(builtIn.output).toContain("demonstration");
  });

  it("gives one JSON object", async () => {
    const { output } = await runCommand([...exact, "--max-tokens", "12", "--json", question]);
    const reply = JSON.parse(output);
    expect(Object.keys(reply)).toEqual(["text", "finishReason", "usage", "timings"]);
    expect(reply).toMatchObject({
      text: golden.greedy_text,
      finishReason: "length",
      usage: { promptTokens: golden.n_input_ids, imageTokens: 0, completionTokens: 12 },
    });
  });

  it("says timings on standard error when verbose", async () => {
    const { output, errors } = await runCommand([...exact, "--max-tokens", "12", "-v", question]);
    expect(output).toBe(`${golden.greedy_text}\n`);
    expect(errors).toMatch(/^180 prompt tokens .*; 12 new \(length\); .* tokens\/s\n$/);
  });

  it("answers with beams", async () => {
    const { output } = await runCommand([...exact, "--max-tokens", "6", "--beams", "3", question]);
    await using loaded = await InternVL.load(model, { device: "reference" });
    expect(output).toBe(`${loaded.tokenizer.decode(golden.beam3[0].tokens).trim()}\n`);
    expect(output).not.toBe(`${loaded.tokenizer.decode(golden.beam3[1].tokens).trim()}\n`);
  });

  it("samples the same answer from the same seed", async () => {
    const sample = async (seed: string) =>
      (await runCommand([...exact, "--max-tokens", "12", "--temp", "5", "--seed", seed, question])).output;
    const first = await sample("1");
    expect(await sample("1")).toBe(first);
    expect(await sample("2")).not.toBe(first);
  });

  it("ends at a stop", async () => {
    const stop = golden.greedy_text.slice(5, 8);
    const { output } = await runCommand([...exact, "--max-tokens", "12", "--stop", stop, question]);
    expect(output.trimEnd()).toBe(golden.greedy_text.slice(0, 5).trimEnd());
  });

  it("puts pictures in front: one as it is, several by number, marks where they stand", async () => {
    const images = ["--image", goldenImage("square.png"), "--image", goldenImage("dot.png")];
    const usageOf = async (rest: string[]) =>
      JSON.parse((await runCommand([...exact, "--max-tokens", "1", "--json", ...rest])).output).usage;
    const text = await usageOf(["Look."]);
    const one = await usageOf([...images.slice(2), "Look."]);
    expect(one).toMatchObject({ imageTokens: 16 });
    const numbered = await usageOf([...images, "Look."]);
    expect(await usageOf([...images, "Image-1: <image>\nImage-2: <image>\nLook."])).toEqual(numbered);
    expect((await usageOf([...images, "--max-tiles", "1", "Look."])).imageTokens).toBe(32);
    expect(numbered.imageTokens).toBeGreaterThan(32);
    expect(numbered.promptTokens - numbered.imageTokens).toBeGreaterThan(text.promptTokens);
    const few = await runCommand([...exact, ...images, "Only <image>."]);
    expect(few).toMatchObject({ exitCode: 1, output: "" });
    expect(few.errors).toContain("1 <image> mark for 2 pictures");
  });

  it("goes on with a saved conversation, its pictures opened again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "internvl-"));
    const file = join(folder, "talk.json");
    const turns = [
      {
        question: "<image>\nLook.",
        answer: "I see.",
        media: [{ image: resolve(goldenImage("square.png")) }],
      },
    ];
    const saved = { format: "internvl conversation 1", model, turns };
    writeFileSync(file, JSON.stringify(saved));
    const args = [
      "chat",
      "--device",
      "reference",
      "--resume",
      file,
      "--max-tokens",
      "4",
      "--json",
      "And now?",
    ];
    const resumed = JSON.parse((await runCommand(args)).output);
    await using loaded = await InternVL.load(model, { device: "reference" });
    const history = [{ question: "Look.", answer: "I see.", images: [goldenImage("square.png")] }];
    const reply = await loaded.chat("And now?", {
      maxNewTokens: 4,
      history: history.map((turn) => ({ ...turn, question: `<image>\n${turn.question}` })),
    });
    expect(resumed.text).toBe(reply.text);
    expect(resumed.usage.promptTokens).toBe(reply.usage.promptTokens);

    turns[0].media[0].image = join(folder, "gone.png");
    writeFileSync(file, JSON.stringify(saved));
    const gone = await runCommand(args);
    expect(gone.exitCode).toBe(1);
    expect(gone.errors).toContain("gone.png: there is no such file");
    expect((await runCommand(["chat", "--resume", join(folder, "none.json"), "Hi"])).errors).toContain(
      "none.json: there is no such file",
    );
  });
});
