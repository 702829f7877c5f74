import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { loadGolden } from "../../test/support/golden.ts";
import { OptionError, PromptError } from "../errors.ts";
import type { RGBImage } from "../media/image.ts";
import type { ChatOptions, InternVL } from "./internvl.ts";
import { imageToken, type PipelineOptions, type PipelinePrompt, pipeline } from "./pipeline.ts";

const cat = new URL("../../examples/photos/cat.jpg", import.meta.url).pathname;
const grey = (value: number): RGBImage => ({ width: 8, height: 8, data: new Uint8Array(192).fill(value) });
const [a, b] = [grey(30), grey(200)];
const short = { maxNewTokens: 6 };

let model: InternVL;
beforeAll(async () => {
  model = await loadGolden("tiny-2b", "f32");
});
afterAll(() => model.dispose());
beforeEach(() => model.clearCaches());

/** A model that notes what it is asked, in place of answering. */
function listener() {
  const asked: [string, ChatOptions][] = [];
  const note = async (question: string, options: ChatOptions) => {
    asked.push([question, options]);
    return { text: question, history: [] };
  };
  const batchChat = (items: ({ question: string } & ChatOptions)[]) =>
    Promise.all(items.map(({ question, ...options }) => note(question, options)));
  return { asked, model: { chat: note, batchChat } as unknown as InternVL };
}

describe("a prompt", () => {
  it.each<[string, PipelinePrompt, string, unknown]>([
    ["of text", "Hello", "Hello", undefined],
    ["of text in a list", ["Hello"], "Hello", undefined],
    ["with a picture", ["Which?", a], "<image>\nWhich?", [[a]]],
    ["with a picture's path", ["Which?", "cat.jpg"], "<image>\nWhich?", [["cat.jpg"]]],
    ["with pictures", ["Which?", [a, b]], "<image>\nWhich?", [[a, b]]],
    ["with places", [`A ${imageToken} B ${imageToken}?`, [a, b]], "A <image> B <image>?", [a, b]],
    ["with a place in the published spelling", ["<image> Which?", [a]], "<image> Which?", [a]],
    ["with no pictures in its list", ["Hello", []], "Hello", undefined],
  ])("%s", async (_, prompt, question, images) => {
    const { asked, model } = listener();
    await pipeline(model)(prompt);
    expect(asked[0][0]).toBe(question);
    expect(asked[0][1].images).toEqual(images);
  });

  it("has LMDeploy's defaults: its own system prompt, and 512 tokens", async () => {
    const { asked, model } = listener();
    await pipeline(model)("Hello");
    expect(asked[0][1].maxNewTokens).toBe(512);
    expect(asked[0][1].systemMessage).toMatch(
      /^我是书生·万象，英文名是InternVL，.*推动科技进步和产业发展。$/,
    );
  });

  it("takes the pipeline's options, and its own before them", async () => {
    const { asked, model } = listener();
    const pipe = pipeline(model, { maxNewTokens: 9, systemMessage: "Be brief." });
    await pipe("Hello");
    await pipe("Hello", { maxNewTokens: 3 });
    expect(asked.map(([, { maxNewTokens, systemMessage }]) => [maxNewTokens, systemMessage])).toEqual([
      [9, "Be brief."],
      [3, "Be brief."],
    ]);
  });

  it("must be one", async () => {
    const { model } = listener();
    const pipe = pipeline(model);
    for (const wrong of [[], 7, null, [[7]]]) {
      await expect((async () => pipe(wrong as unknown as string))()).rejects.toThrow(OptionError);
    }
  });
});

describe("a pipeline", () => {
  it("answers as chat does with the same words and pictures", async () => {
    const pipe = pipeline(model, { ...short, systemMessage: "Be brief." });
    const wanted = await model.chat("<image>\nWhich?", {
      images: [[a, b]],
      systemMessage: "Be brief.",
      ...short,
    });
    model.clearCaches();
    const reply = await pipe(["Which?", [a, b]]);
    expect([reply.text, reply.usage]).toEqual([wanted.text, wanted.usage]);
    expect(reply.history[0].question).toBe("<image>\nWhich?");
  });

  it("answers a list as a batch, each as alone, in order", async () => {
    const pipe = pipeline(model, short);
    const prompts: PipelinePrompt[] = [["Which?", a], ["Which?", [a, b]], ["Hello"], ["Which?", cat]];
    const options: PipelineOptions = { maxTiles: 1 };
    const together = await pipe(prompts, options);
    model.clearCaches();
    const alone: string[] = [];
    for (const prompt of prompts) alone.push((await pipe(prompt, options)).text);
    expect(together.map(({ text }) => text)).toEqual(alone);
    const texts = await pipe(["One", "Two", "Three"]);
    expect(texts.map(({ history }) => history[0].question)).toEqual(["One", "Two", "Three"]);
  });

  it("holds a conversation in a session", async () => {
    const pipe = pipeline(model, short);
    const first = await pipe.chat(["Which?", a]);
    expect(first.response.text).not.toBe("");
    const second = await pipe.chat("And?", { session: first });
    expect(second.history.map(({ question }) => question)).toEqual(["<image>\nWhich?", "And?"]);
    expect(second.response.usage.imageTokens).toBe(16);
    expect(second.response.usage.cachedTokens).toBeGreaterThan(0);
    // Pictures of a later turn stand in front of it too.
    const third = await pipe.chat(["And this?", b], { session: second });
    expect(third.history[2].question).toBe("<image>\nAnd this?");
  });

  it("streams, in a session too", async () => {
    const pipe = pipeline(model, short);
    const session = await pipe.chat("Hello");
    const stream = pipe.stream(["Which?", a], { session });
    let text = "";
    for await (const piece of stream) text += piece.text;
    const reply = await stream.reply;
    expect(text).toBe(reply.text);
    expect(reply.history).toHaveLength(2);
  });

  it("passes errors on", async () => {
    const pipe = pipeline(model, short);
    await expect(pipe([`${imageToken} ${imageToken}`, a])).rejects.toThrow(PromptError);
    await expect(pipe("Hi", { max_new_tokens: 4 } as PipelineOptions)).rejects.toThrow("maxNewTokens");
    await expect(pipe(["Hi", "nowhere.jpg"])).rejects.toThrow("nowhere.jpg");
  });
});
