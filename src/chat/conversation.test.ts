import { beforeAll, describe, expect, it } from "vitest";
import { goldenFolder, goldenTokenizer } from "../../test/golden-tokenizers.ts";
import { conversationOf, idsOf, readGolden, tileOf } from "../../test/support/golden.ts";
import { loadDescription } from "../checkpoint/checkpoint.ts";
import { openFolder } from "../checkpoint/folder.node.ts";
import { FeatureCache } from "../engine/features.ts";
import { OptionError, PromptError } from "../errors.ts";
import type { RGBImage } from "../media/image.ts";
import {
  type AskOptions,
  imageTokenOf,
  type PromptMaker,
  prepareConversation,
  type Turn,
} from "./conversation.ts";
import type { TiledPicture } from "./pictures.ts";
import { templateOf } from "./templates.ts";

const golden = readGolden("tiny-2b");
let maker: PromptMaker;
beforeAll(async () => {
  const files = await openFolder(goldenFolder("tiny-2b"));
  const description = await loadDescription(files);
  await files.close();
  const tokenizer = goldenTokenizer("tiny-2b");
  maker = {
    description,
    tokenizer,
    template: templateOf(description.template),
    features: new FeatureCache(1e6),
    imageToken: imageTokenOf(tokenizer),
  };
});

const prepare = (question: string, options: AskOptions = {}) => prepareConversation(maker, question, options);
const grey = (value: number): RGBImage => ({ width: 4, height: 4, data: new Uint8Array(48).fill(value) });

const tilesOf = ({ images = [] }: Pick<Turn, "images">) =>
  (images as TiledPicture[]).map(({ tiles }) => tiles.length);

describe("where pictures stand", () => {
  it("is in front when the first question does not say, all together", async () => {
    const { turn, prompt } = await prepare("What is it?", { images: [grey(1), grey(2)] });
    expect(turn.question).toBe("<image>\nWhat is it?");
    expect(tilesOf(turn)).toEqual([2]);
    expect(prompt.imageTokens).toBe(32);
  });

  it("is at the marks when the question has them", async () => {
    const { turn } = await prepare("<image> or <image>?", { images: [grey(1), [grey(2), grey(3)]] });
    expect(turn.question).toBe("<image> or <image>?");
    expect(tilesOf(turn)).toEqual([1, 2]);
  });

  it("must be written on later turns, and with an empty history, as in the reference", async () => {
    for (const history of [[], [{ question: "Hello", answer: "Hi" }]]) {
      await expect(prepare("What is it?", { images: [grey(1)], history })).rejects.toThrow(PromptError);
      const { turn } = await prepare("<image> What is it?", { images: [grey(1)], history });
      expect(turn.question).toBe("<image> What is it?");
    }
  });

  it("must fit: more marks than pictures, or fewer, are refused, in earlier turns too", async () => {
    await expect(prepare("<image>")).rejects.toThrow("1 <image> mark for no pictures");
    await expect(prepare("<image>", { images: [grey(1), grey(2)] })).rejects.toThrow("for 2 pictures");
    const history = [{ question: "<image> <image>", answer: "Hm.", images: [grey(1)] }];
    await expect(prepare("And?", { history })).rejects.toThrow("2 <image> marks for 1 picture");
  });

  it("keeps a turn without pictures as it is", async () => {
    const { turn, prompt } = await prepare("Hello");
    expect(turn).toEqual({ question: "Hello", images: [] });
    expect(prompt.imageTokens).toBe(0);
  });
});

describe("a video", () => {
  it("is put in front, frame by frame, on any turn", async () => {
    const prefixed = "Frame1: <image>\nFrame2: <image>\nWhat happens?";
    const first = await prepare("What happens?", { video: [grey(1), grey(2)] });
    expect(first.turn.question).toBe(prefixed);
    expect(first.turn.images).toHaveLength(2);
    const later = await prepare("What happens?", { video: [grey(1), grey(2)], history: [] });
    expect(later.turn.question).toBe(prefixed);
  });

  it("does not go with images; what only a video reads is refused without one", async () => {
    await expect(prepare("?", { video: [grey(1)], images: [grey(2)] })).rejects.toThrow(OptionError);
    await expect(prepare("?", { segments: 4 })).rejects.toThrow("segments: is only read with a video");
    await expect(prepare("?", { bound: [0, 1] })).rejects.toThrow("bound: is only read with a video");
    await expect(prepare("?", { video: [grey(1)], segments: 4 })).rejects.toThrow("segments");
  });
});

describe("the prompt", () => {
  it("is that of the goldens, turn for turn", async () => {
    for (const which of golden.cases) {
      const { question, history } = conversationOf(which);
      const counts = typeof which.tiles === "number" ? [which.tiles].filter(Boolean) : which.tiles;
      let tile = 0;
      const images = counts.map((count) => ({
        tiles: Array.from({ length: count }, () => tileOf(golden, tile++)),
      }));
      const options = history.length > 0 ? { history: [{ ...history[0], images }] } : { images };
      expect([...(await prepare(question, options)).prompt.ids]).toEqual(idsOf(which));
    }
  });

  it("has one block a tile, equal for equal tiles and only then", async () => {
    const history = [{ question: "<image>", answer: "One.", images: [grey(1)] }];
    const { prompt } = await prepare("<image> <image>", { images: [grey(2), grey(1)], history });
    const [a, b, c] = prompt.blocks.map(({ identity }) => identity);
    expect([a === c, a === b]).toEqual([true, false]);
    expect(prompt.blocks.map(({ rows }) => rows)).toEqual([16, 16, 16]);
  });

  it("has pictures only where pictures were given: a spelled-out image token is refused beside them", async () => {
    const { prompt } = await prepare("What is <IMG_CONTEXT>?");
    expect(prompt.blocks).toEqual([]);
    await expect(prepare("What is <IMG_CONTEXT>?", { images: [grey(1)] })).rejects.toThrow(PromptError);
  });

  it("takes another system message", async () => {
    const { prompt } = await prepare("Hello", { systemMessage: "Be brief." });
    expect(maker.tokenizer.decode(prompt.ids)).toContain("Be brief.");
  });

  it("gives earlier turns back with their pictures tiled", async () => {
    const { history } = await prepare("And?", {
      history: [{ question: "<image>", answer: "A.", images: [grey(1)] }],
    });
    expect(history[0]).toMatchObject({ question: "<image>", answer: "A." });
    expect(history[0].images![0]).toHaveProperty("tiles");
  });
});

describe("what is not a conversation", () => {
  it.each([
    ["a question that is no text", () => prepare(7 as unknown as string), "question"],
    ["pictures that are no list", () => prepare("?", { images: "a.jpg" as unknown as [] }), "images"],
    ["a history of pairs", () => prepare("?", { history: [["Hi", "Hello"]] as unknown as [] }), "history"],
    ["a history that is no list", () => prepare("?", { history: "Hi" as unknown as [] }), "history"],
    [
      "a turn without its answer",
      () => prepare("?", { history: [{ question: "Hi" }] as unknown as [] }),
      "history",
    ],
    ["a place without pictures", () => prepare("<image>", { images: [[]] }), "images"],
  ])("%s is refused by name", async (_, ask, option) => {
    await expect(ask()).rejects.toThrow(OptionError);
    await expect(ask()).rejects.toMatchObject({ option });
  });
});
