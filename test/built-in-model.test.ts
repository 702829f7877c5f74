import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InternVL, loadImage } from "../src/index.ts";

/** Held-out pictures beside the built-in model, with what is to be answered. */
const folder = new URL("../models/demo/samples/", import.meta.url).pathname;

interface Sample {
  skill: string;
  question: string;
  answer: string;
  image?: string;
  images?: string[];
  frames?: string[];
  maxTiles?: number;
}

const maxNewTokens = 100;

const samples = JSON.parse(readFileSync(`${folder}questions.json`, "utf8")) as Sample[];

/**
 * How many of a skill's six samples must be right. They are the same in every run, so these are floors under what the
 * card's larger sets measure, and not estimates of it.
 */
const floors: Readonly<Record<string, number>> = {
  colour: 6,
  shape: 5,
  count: 5,
  position: 5,
  describe: 3,
  word: 5,
  number: 5,
  text: 4,
  "chart value": 2,
  "chart largest": 3,
  "chart smallest": 3,
  "chart title": 5,
  form: 4,
  compare: 3,
  clip: 5,
  blank: 6,
  talk: 6,
  chinese: 6,
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
      let right = 0;
      for (const sample of samples.filter((each) => each.skill === skill)) {
        if ((await ask(model, sample)) === sample.answer) right++;
      }
      expect(right).toBeGreaterThanOrEqual(floors[skill]);
    },
    300_000,
  );

  it("says of a photograph that it is outside its world", async () => {
    const photo = new URL("../examples/photos/coffee.jpg", import.meta.url).pathname;
    const { text } = await model.chat("What is in the picture?", { images: [photo] });
    expect(text).toMatch(/photograph/);
  }, 120_000);

  it("looks: another picture gets another answer", async () => {
    const colours = samples.filter(({ skill, question }) => skill === "word" && question !== "");
    const [first, second] = colours;
    const swapped = await ask(model, { ...first, image: second.image });
    expect(swapped).not.toBe(first.answer);
  }, 120_000);
});

async function ask(model: InternVL, sample: Sample): Promise<string> {
  const { question, image, images, frames, maxTiles } = sample;
  if (frames) {
    const video = await Promise.all(frames.map((name) => loadImage(folder + name)));
    return (await model.chat(question, { maxNewTokens, video })).text;
  }
  const marks = images?.map((_, i) => `Image-${i + 1}: <image>\n`).join("") ?? "";
  const paths = (images ?? (image ? [image] : [])).map((name) => folder + name);
  return (await model.chat(marks + question, { maxNewTokens, maxTiles, images: paths })).text;
}
