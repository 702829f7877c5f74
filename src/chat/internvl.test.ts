import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { conversationOf, idsOf, loadGolden, readGolden, tileOf } from "../../test/support/golden.ts";
import { DisposedError, OptionError, PromptError, ShapeError } from "../errors.ts";
import type { RGBImage } from "../media/image.ts";
import type { Progress } from "../progress.ts";
import type { BatchItem, ChatOptions, InternVL } from "./internvl.ts";
import type { Reply } from "./reply.ts";

const golden = readGolden("tiny-2b");
const caseOf = (name: string) => golden.cases.find((each) => each.name === name)!;
const cat = new URL("../../examples/photos/cat.jpg", import.meta.url).pathname;
const grey = (value: number): RGBImage => ({ width: 8, height: 8, data: new Uint8Array(192).fill(value) });

let model: InternVL;
beforeAll(async () => {
  model = await loadGolden("tiny-2b", "f32");
});
afterAll(() => model.dispose());
beforeEach(() => model.clearCaches());

/** Everything of a reply that does not depend on the time it took and on what was there before. */
const lasting = ({ timings: _, usage: { cachedTokens: __, ...usage }, ...rest }: Reply) => ({
  ...rest,
  usage,
});

async function collect(pieces: AsyncIterable<{ text: string }>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of pieces) texts.push(text);
  return texts;
}

describe("chat", () => {
  it("answers the golden question about the golden tiles", async () => {
    const which = caseOf("image");
    const picture = { tiles: [tileOf(golden, 0), tileOf(golden, 1)] };
    const maxNewTokens = which.greedy.length;
    const reply = await model.chat(conversationOf(which).question, { images: [picture], maxNewTokens });
    expect(reply.text).toBe(which.greedy_text.trim());
    expect(reply.finishReason).toBe("length");
    expect(reply.usage).toEqual({
      promptTokens: which.n_input_ids,
      imageTokens: 32,
      cachedTokens: 0,
      completionTokens: maxNewTokens,
    });
    expect(reply.history).toEqual([
      { question: "<image>\nPlease describe the image shortly.", answer: reply.text, images: [picture] },
    ]);
    const { encode, firstToken, total, tokensPerSecond } = reply.timings;
    expect(0 < encode && encode < firstToken && firstToken < total && tokensPerSecond > 0).toBe(true);
  });

  it("goes on without computing the picture or the earlier turns again", async () => {
    const progress: Progress[] = [];
    const onProgress = (each: Progress) => progress.push({ ...each });
    const first = await model.chat("What is it?", {
      images: [cat],
      maxTiles: 2,
      maxNewTokens: 8,
      onProgress,
    });
    expect(progress.filter(({ phase }) => phase === "encode").at(-1)).toEqual({
      phase: "encode",
      loaded: 3,
      total: 3,
    });
    progress.length = 0;
    const { history } = first;
    const second = await model.chat("And its colours?", { history, maxNewTokens: 8, onProgress });
    expect(second.usage.imageTokens).toBe(48);
    // All of the first prompt but its last page, which was not full; the answer's pages too where they are.
    expect(second.usage.cachedTokens).toBeGreaterThan(first.usage.promptTokens - 64);
    expect(progress.some(({ phase }) => phase === "encode")).toBe(false);
    expect(second.timings.encode).toBe(0);
    expect(second.history.map(({ question }) => question)).toEqual([
      "<image>\nWhat is it?",
      "And its colours?",
    ]);
    // The same from nothing: what was kept changes the work, not the answer.
    model.clearCaches();
    const anew = await model.chat("And its colours?", { history, maxNewTokens: 8, onProgress });
    expect(anew.usage.cachedTokens).toBe(0);
    expect(progress.some(({ phase }) => phase === "encode")).toBe(true);
    expect(lasting(anew)).toEqual(lasting(second));
  });

  it("takes a history written by hand, pictures and all", async () => {
    const first = await model.chat("What is it?", { images: [grey(9)], maxNewTokens: 4 });
    const byHand = [{ question: "<image>\nWhat is it?", answer: first.text, images: [grey(9)] }];
    const options = { maxNewTokens: 6 };
    const wanted = await model.chat("Why?", { history: first.history, ...options });
    expect(lasting(await model.chat("Why?", { history: byHand, ...options }))).toEqual(lasting(wanted));
  });

  it("leaves the history it was given as it was", async () => {
    const history = Object.freeze([Object.freeze({ question: "Hello", answer: "Hi" })]);
    const reply = await model.chat("How are you?", { history, maxNewTokens: 2 });
    expect(history).toHaveLength(1);
    expect(reply.history).toHaveLength(2);
  });

  it("samples by its seed, and gives several answers when asked to", async () => {
    const options = { doSample: true, temperature: 2, maxNewTokens: 8, numReturnSequences: 3, seed: 5 };
    const reply = await model.chat("Hello", options);
    expect(new Set(reply.answers.map(({ text }) => text)).size).toBe(3);
    expect(reply.text).toBe(reply.answers[0].text);
    expect(reply.usage.completionTokens).toBe(24);
    expect(lasting(await model.chat("Hello", options))).toEqual(lasting(reply));
    expect((await model.chat("Hello", { ...options, seed: 6 })).answers).not.toEqual(reply.answers);
  });

  it("ends at stops, which are not part of the text", async () => {
    const whole = await model.chat("Hello, who are you?", { maxNewTokens: 12 });
    const word = whole.text.slice(6, 8);
    const cut = await model.chat("Hello, who are you?", { maxNewTokens: 12, stop: [word] });
    expect(cut.finishReason).toBe("stop");
    expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(word)).trimEnd());
    expect(cut.usage.completionTokens).toBeLessThan(12);
    const id = caseOf("text").greedy[4];
    const byId = await model.chat("Hello, who are you?", { maxNewTokens: 12, stop: [id] });
    expect(byId.usage.completionTokens).toBe(5);
    expect(byId.text).toBe(model.tokenizer.decode(caseOf("text").greedy.slice(0, 4)).trim());
  });

  it("finds the best of its beams", async () => {
    const { question } = conversationOf(caseOf("text"));
    const beams = caseOf("text").beam3;
    const reply = await model.chat(question, { numBeams: 3, numReturnSequences: 3, maxNewTokens: 6 });
    if (beams) {
      expect(reply.answers.map(({ text }) => text)).toEqual(
        beams.map(({ tokens }) => model.tokenizer.decode(tokens).trim()),
      );
    }
    const scores = reply.answers.map(({ score }) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  });

  it("refuses options by name, before anything is computed", async () => {
    const refused = (options: object) => expect(model.chat("Hello", options as ChatOptions)).rejects;
    await refused({ max_new_tokens: 5 }).toThrow("it is called maxNewTokens here");
    await refused({ temperature: 0.5 }).toThrow("only read with doSample");
    await refused({ maxNewTokens: 0 }).toMatchObject({ option: "maxNewTokens", value: 0 });
    await refused({ stop: ["a", ""] }).toThrow(OptionError);
  });
});

describe("stream", () => {
  it("is the text of chat, in pieces", async () => {
    const options = { images: [grey(70)], maxNewTokens: 24 };
    const wanted = await model.chat("What is it?", options);
    const stream = model.stream("What is it?", options);
    const texts = await collect(stream);
    expect(texts.length).toBeGreaterThan(5);
    expect(texts.join("")).toBe(wanted.text);
    expect(lasting(await stream.reply)).toEqual(lasting(wanted));
  });

  it("is over when its reader leaves; the model goes on with the next", async () => {
    let seen = 0;
    const stream = model.stream("Hello", { maxNewTokens: 500 });
    for await (const _ of stream) if (++seen === 3) break;
    await expect(stream.reply).rejects.toMatchObject({ name: "AbortError" });
    expect((await model.chat("Hello", { maxNewTokens: 3 })).usage.completionTokens).toBe(3);
  });

  it("throws what went wrong at its reader", async () => {
    await expect(collect(model.stream("<image>"))).rejects.toThrow(PromptError);
    await expect(collect(model.stream("Hi", { images: ["nowhere.jpg"] }))).rejects.toThrow("nowhere.jpg");
  });

  it("refuses at once what cannot be streamed", () => {
    expect(() => model.stream("Hi", { numBeams: 3 })).toThrow("numBeams: an answer can only be streamed");
    expect(() => model.stream("Hi", { doSample: true, numReturnSequences: 2 })).toThrow(OptionError);
    expect(() => model.stream("Hi", { top_k: 2 } as ChatOptions)).toThrow("topK");
  });
});

describe("batchChat", () => {
  const items: BatchItem[] = [
    { question: "Hello, who are you?" },
    { question: "What is it?", images: [grey(40)] },
    { question: "<image> or <image>?", images: [grey(40), cat], maxTiles: 2 },
    { question: "Tell me.", doSample: true, seed: 3, maxNewTokens: 5 },
    { question: "Which?", images: [grey(3)], numBeams: 2, maxNewTokens: 4 },
    { question: "Go on.", history: [{ question: "Hi", answer: "Hello" }], systemMessage: "Be brief." },
  ];

  it("answers each as it would be answered alone, in order", async () => {
    const alone: Reply[] = [];
    for (const { question, ...own } of items) {
      model.clearCaches();
      alone.push(await model.chat(question, { maxNewTokens: 9, ...own }));
    }
    model.clearCaches();
    const together = await model.batchChat(items, { maxNewTokens: 9 });
    expect(together.map(lasting)).toEqual(alone.map(lasting));
    expect(new Set(together.map(({ text }) => text)).size).toBe(items.length);
    expect(await model.batchChat([])).toEqual([]);
  });

  it("ends altogether when one fails, and says why", async () => {
    let tokens = 0;
    const long = { question: "Hello", maxNewTokens: 1000, onProgress: () => tokens++ };
    const since = performance.now();
    const batch = model.batchChat([long, { question: "And?", images: ["nowhere.jpg"] }, long]);
    await expect(batch).rejects.toMatchObject({ code: "FILE", file: expect.stringContaining("nowhere.jpg") });
    const alone = performance.now() - since;
    // A thousand tokens would take many times as long.
    expect(alone).toBeLessThan(10_000);
    expect((await model.chat("Hello", { maxNewTokens: 2 })).usage.completionTokens).toBe(2);
  });

  it("ends by the signal of the batch, and of an item", async () => {
    const reason = new Error("enough");
    const aborted = { signal: AbortSignal.abort(reason) };
    await expect(model.batchChat([{ question: "Hello" }], aborted)).rejects.toBe(reason);
    const one = { question: "Hello", ...aborted };
    await expect(model.batchChat([{ question: "Hello", maxNewTokens: 900 }, one])).rejects.toBe(reason);
  });
});

describe("encodeImages", () => {
  it("takes tiles one after the other in one array, or a list of them", async () => {
    const list = golden.tiles.slice(0, 2);
    const joined = Uint8Array.from(list.flatMap((tile) => [...tile]));
    const features = await model.encodeImages(list);
    expect(features).toHaveLength(2 * 16 * 256);
    expect(await model.encodeImages(joined)).toEqual(features);
    expect(await model.encodeImages([list[1]])).toEqual(features.slice(16 * 256));
  });

  it("says what size a tile has", async () => {
    const wrong = (tiles: Uint8Array | Uint8Array[]) => expect(model.encodeImages(tiles)).rejects;
    await wrong(new Uint8Array(100)).toThrow("tiles have 100 bytes, want 37632 each (112 by 112, RGB)");
    await wrong(new Uint8Array(37632 + 1)).toThrow("37632, 1 bytes");
    await wrong([golden.tiles[0], new Uint8Array(3)]).toThrow(ShapeError);
    await wrong([]).toThrow("tiles have no bytes");
    await wrong(new Uint8Array()).toThrow(ShapeError);
  });
});

describe("logits and generate", () => {
  const which = caseOf("text");

  it("take ids as a list or as an array of 32 bits", async () => {
    const ids = idsOf(which);
    const logits = await model.logits(ids);
    expect(logits).toHaveLength(975);
    expect(logits.indexOf(Math.max(...logits))).toBe(which.greedy[0]);
    expect(await model.logits(Uint32Array.from(ids))).toEqual(logits);
    const { sequences } = await model.generate(Uint32Array.from(ids), { maxNewTokens: 3 });
    expect(sequences).toEqual([
      { ids: which.greedy.slice(0, 3), score: expect.any(Number), finishReason: "length" },
    ]);
  });

  it("end at ids and texts, which stay among the ids", async () => {
    const ids = idsOf(which);
    const stop = which.greedy[2];
    const byId = await model.generate(ids, { maxNewTokens: 12, stop: [stop] });
    expect(byId.sequences[0]).toMatchObject({ ids: which.greedy.slice(0, 3), finishReason: "stop" });
    const text = model.tokenizer.decode([which.greedy[0], which.greedy[1]]).slice(-2);
    const byText = await model.generate(ids, { maxNewTokens: 12, stop: [text] });
    expect(byText.sequences[0]).toMatchObject({ ids: which.greedy.slice(0, 2), finishReason: "stop" });
  });

  it.each([
    [[], "ids: there must be at least one token"],
    [[1, -1], "token ids run from 0 to 974 (got -1)"],
    [[975], "token ids run from 0 to 974 (got 975)"],
    [[1.5], "got 1.5"],
    [[Number.NaN], "got NaN"],
    [[undefined as unknown as number], "got undefined"],
  ])("refuse the ids %j", async (ids, message) => {
    await expect(model.logits(ids)).rejects.toThrow(OptionError);
    await expect(model.logits(ids)).rejects.toThrow(message);
    await expect(model.generate(ids)).rejects.toThrow(message);
  });

  it("refuse features that are not as many as the prompt's image tokens", async () => {
    const ids = idsOf(caseOf("image"));
    const features = await model.encodeImages(golden.tiles);
    await expect(model.logits(ids, features.subarray(0, 16 * 256))).rejects.toThrow(PromptError);
    await expect(model.logits(ids, features.subarray(0, 16 * 256))).rejects.toThrow(
      "the prompt has 32 image tokens, but the pictures have 16",
    );
    await expect(model.generate([1, 2], { features })).rejects.toThrow("has 0 image tokens");
    await expect(model.generate(ids, { features: features.subarray(1) })).rejects.toThrow(ShapeError);
  });

  it("refuse options that they do not read", async () => {
    const options = { images: [cat] } as object;
    await expect(model.generate([1], options)).rejects.toThrow("images: is not an option");
  });
});

describe("a disposed model", () => {
  it("refuses everything, and can be disposed again", async () => {
    const other = await loadGolden("tiny-1b", "f32");
    const running = other.chat("Hello", { maxNewTokens: 500 });
    const ended = expect(running).rejects.toThrow(DisposedError);
    await other.dispose();
    await ended;
    await other.dispose();
    await other[Symbol.asyncDispose]();
    await expect(other.chat("Hello")).rejects.toThrow(DisposedError);
    await expect(other.chat("Hello", { images: [grey(1)] })).rejects.toThrow("load it again");
    await expect(collect(other.stream("Hello"))).rejects.toThrow(DisposedError);
    await expect(other.batchChat([{ question: "Hello" }])).rejects.toThrow(DisposedError);
    const size = other.description.tiling.tileSize;
    await expect(other.encodeImages(new Uint8Array(size * size * 3))).rejects.toThrow(DisposedError);
    await expect(other.logits([1])).rejects.toThrow(DisposedError);
    await expect(other.generate([1])).rejects.toThrow(DisposedError);
    expect(() => other.clearCaches()).not.toThrow();
  });
});
