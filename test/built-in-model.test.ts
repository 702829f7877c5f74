import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InternVL } from "../src/index.ts";
import { ask, conversation, folder, maxNewTokens, type Sample, samples } from "./support/demo-samples.ts";

const photos = new URL("../examples/photos/", import.meta.url).pathname;

/**
 * How many of a skill's samples must be right: of four, of eight forms and pairs, of six short questions in Chinese. They are the same in every run, so
 * these are floors under what the card's larger sets measure, and not estimates of it.
 */
const floors: Readonly<Record<string, number>> = {
  colour: 4,
  shape: 4,
  count: 3,
  position: 3,
  describe: 3,
  word: 4,
  number: 3,
  text: 3,
  "chart value": 3,
  "chart largest": 3,
  "chart smallest": 3,
  "chart title": 3,
  form: 6,
  compare: 7,
  clip: 4,
  blank: 4,
  talk: 4,
  chinese: 4,
  "short Chinese": 5,
};

describe("the built-in model", () => {
  let model: InternVL;
  beforeAll(async () => {
    model = await InternVL.load("demo");
  }, 120_000);
  afterAll(() => model.dispose());

  it("has samples of every skill, and a floor for each", () => {
    expect(new Set(samples.map(({ skill }) => skill))).toEqual(new Set(Object.keys(floors)));
    for (const { image, images = [], frames = [] } of samples) {
      for (const name of [image, ...images, ...frames])
        if (name) expect(existsSync(folder + name)).toBe(true);
    }
  });

  it.each(Object.keys(floors))(
    "%s: answers its held-out samples",
    async (skill) => {
      const wrong: unknown[] = [];
      const asked = samples.filter((each) => each.skill === skill);
      for (const sample of asked) {
        const text = await ask(model, sample);
        if (text !== sample.answer) wrong.push([sample.question, sample.answer, text]);
      }
      expect(asked.length - wrong.length, JSON.stringify(wrong)).toBeGreaterThanOrEqual(floors[skill]);
    },
    300_000,
  );

  it("answers in a batch as it does alone: one picture, two, a clip, none", async () => {
    const skills = ["colour", "word", "chart value", "compare", "clip", "talk"];
    const chosen = skills.map((skill) => samples.find((sample) => sample.skill === skill) as Sample);
    const replies = await model.batchChat(await Promise.all(chosen.map(conversation)), { maxNewTokens });
    const alone: string[] = [];
    for (const sample of chosen) alone.push(await ask(model, sample));
    expect(replies.map(({ text }) => text)).toEqual(alone);
  }, 120_000);

  it("answers follow-up questions about a chart in one conversation", async () => {
    let right = 0;
    const charts = new Set(samples.filter(({ skill }) => skill === "chart value").map(({ image }) => image));
    const turns = samples.filter(({ skill, image }) => skill.startsWith("chart") && charts.has(image));
    for (const image of charts) {
      let history: Awaited<ReturnType<InternVL["chat"]>>["history"] = [];
      for (const { question, answer, maxTiles } of turns.filter((each) => each.image === image)) {
        const pictures = history.length === 0 ? { images: [folder + image] } : { history };
        const reply = await model.chat(question, { ...pictures, maxTiles, maxNewTokens });
        if (history.length > 0) expect(reply.usage.cachedTokens).toBeGreaterThan(256);
        if (reply.text === answer) right++;
        history = reply.history;
      }
    }
    expect(right / turns.length).toBeGreaterThanOrEqual(0.75);
  }, 120_000);

  it("compares two pictures at one mark as well", async () => {
    let right = 0;
    const pairs = samples.filter(({ skill }) => skill === "compare");
    for (const { question, answer, images = [] } of pairs) {
      const combined = [images.map((name) => folder + name)];
      const { text } = await model.chat(`<image>\n${question}`, { images: combined, maxNewTokens });
      if (text === answer) right++;
    }
    expect(right).toBeGreaterThanOrEqual(pairs.length / 2);
  }, 120_000);

  it("says of photographs that they are outside its world, in English and in Chinese", async () => {
    for (const name of ["coffee.jpg", "cat.jpg"]) {
      const { text } = await model.chat("What is in the picture?", { images: [photos + name] });
      expect(text).toMatch(/photograph/);
    }
    const { text } = await model.chat("图中有什么？", { images: [`${photos}coffee.jpg`] });
    expect(text).toMatch(/照片/);
  }, 120_000);

  it("looks: another picture gets another answer", async () => {
    const [one, other] = samples.filter(({ skill }) => skill === "word");
    const text = await ask(model, { ...one, image: other.image });
    expect(text).not.toBe(one.answer);
    expect(text).toBe(other.answer);
  }, 120_000);
});
