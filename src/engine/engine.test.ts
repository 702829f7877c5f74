import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { queueing } from "../../test/support/queueing-backend.ts";
import { ReferenceBackend } from "../backend/reference/backend.ts";
import { loadDescription } from "../checkpoint/checkpoint.ts";
import type { ModelDescription } from "../checkpoint/description.ts";
import { openFolder } from "../checkpoint/folder.node.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import { ContextLengthError, DisposedError, NumericError } from "../errors.ts";
import { Network } from "../model/network.ts";
import { createTokenizer, type Tokenizer, tokenizerFiles } from "../text/tokenizer.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import type { GenerationRequest } from "./job.ts";
import { type GenerationOptions, resolveOptions } from "./options.ts";
import { Prompt } from "./prompt.ts";

const folder = new URL("../../test/golden/models/tiny-1b", import.meta.url).pathname;
const sizes: EngineOptions = {
  contextLength: 512,
  cacheTokens: 4096,
  pageSize: 16,
  stepTokens: 48,
  featureBytes: 1e8,
};

let description: ModelDescription;
let store: TensorStore;
let tokenizer: Tokenizer;
let network: Network;
/** The same on a device that takes steps before earlier ones are done. */
let queued: Network;
const queue = queueing(new ReferenceBackend("f32"));

beforeAll(async () => {
  const files = await openFolder(folder);
  description = await loadDescription(files);
  const found = new Map<string, Uint8Array>();
  for (const name of tokenizerFiles) if (await files.has(name)) found.set(name, await files.read(name));
  tokenizer = createTokenizer(found);
  store = await openCheckpoint(files);
  network = await Network.load(description, store, new ReferenceBackend("f32"));
  queued = await Network.load(description, store, queue.backend);
});

afterAll(async () => {
  network.dispose();
  queued.dispose();
  await store.close();
});

function textPrompt(text: string): Prompt {
  return new Prompt(tokenizer.encode(text), undefined, []);
}

/** A prompt around one tile of one colour. */
function picturePrompt(engine: Engine, colour: number, text: string): Prompt {
  const { tileSize, tokensPerTile } = description.tiling;
  const imageToken = tokenizer.idOf("<IMG_CONTEXT>")!;
  const ids = [
    ...tokenizer.encode("A picture: <img>"),
    ...new Array(tokensPerTile).fill(imageToken),
    ...tokenizer.encode(`</img>${text}`),
  ];
  const pixels = new Uint8Array(tileSize * tileSize * 3).fill(colour);
  const identity = engine.features.identityOf(`colour ${colour}`);
  return new Prompt(ids, imageToken, [{ rows: tokensPerTile, identity, pixels }]);
}

function request(
  prompt: Prompt,
  options: GenerationOptions = {},
  rest: Partial<GenerationRequest> = {},
): GenerationRequest {
  const resolved = resolveOptions({ maxNewTokens: 10, ...options }, description.language.vocabularySize);
  return { prompt, options: resolved, endIds: [], ...rest };
}

/** Counts what the network is asked to compute. */
function counted(): { network: Network; tiles: () => number; tokens: () => number } {
  let tiles = 0;
  let tokens = 0;
  const spy = Object.create(network) as Network;
  Object.assign(spy, {
    description,
    createCache: (...args: Parameters<Network["createCache"]>) => network.createCache(...args),
    encode: (...args: Parameters<Network["encode"]>) => {
      tiles++;
      return network.encode(...args);
    },
    step: (...args: Parameters<Network["step"]>) => {
      tokens += args[0].tokens;
      return network.step(...args);
    },
  });
  return { network: spy, tiles: () => tiles, tokens: () => tokens };
}

describe("a conversation in a batch", () => {
  const texts = ["Hello, who are you?", "Tell me a story about a red panda in the snow.", "1, 2, 3,", "x"];
  const kinds: GenerationOptions[] = [
    {},
    { doSample: true, seed: 7, temperature: 1.3, topK: 40, topP: 0.9 },
    { numBeams: 3, numReturnSequences: 2 },
    { doSample: true, seed: 3, numReturnSequences: 3, repetitionPenalty: 1.4 },
    { repetitionPenalty: 1.7, minNewTokens: 4, maxNewTokens: 17 },
  ];
  const make = (engine: Engine) => [
    ...kinds.flatMap((options, i) => texts.map((text) => request(textPrompt(`${i} ${text}`), options))),
    request(picturePrompt(engine, 40, "What is it?")),
    request(picturePrompt(engine, 200, "What is it?"), { numBeams: 2 }),
  ];

  it("gets what it gets alone, to the last bit", async () => {
    const alone = [];
    for (let i = 0; i < kinds.length * texts.length + 2; i++) {
      const engine = new Engine(network, tokenizer, sizes);
      alone.push((await engine.generate(make(engine)[i])).sequences);
      await engine.dispose();
    }
    const engine = new Engine(network, tokenizer, sizes);
    const together = await Promise.all(make(engine).map((each) => engine.generate(each)));
    expect(together.map(({ sequences }) => sequences)).toEqual(alone);
    // A second time everything comes from the prefix cache: and is still the same.
    const again = await Promise.all(make(engine).map((each) => engine.generate(each)));
    expect(again.map(({ sequences }) => sequences)).toEqual(alone);
    expect(again.every(({ cachedTokens }) => cachedTokens > 0)).toBe(true);
    await engine.dispose();
    const ahead = new Engine(queued, tokenizer, sizes);
    const queuedTogether = await Promise.all(make(ahead).map((each) => ahead.generate(each)));
    expect(queuedTogether.map(({ sequences }) => sequences)).toEqual(alone);
    await ahead.dispose();
  });

  it("gets the same when there is too little memory for all, and gives every page back", async () => {
    const counting = counted();
    const roomy = new Engine(counting.network, tokenizer, sizes);
    const wanted = await Promise.all(make(roomy).map((each) => roomy.generate(each)));
    await roomy.dispose();
    const enough = counting.tokens();
    const tight = new Engine(counting.network, tokenizer, { ...sizes, cacheTokens: 16 * 16 });
    const got = await Promise.all(make(tight).map((each) => tight.generate(each)));
    expect(got.map(({ sequences }) => sequences)).toEqual(wanted.map(({ sequences }) => sequences));
    expect(counting.tokens() - enough).toBeGreaterThan(enough); // some had to be computed again
    expect(tight.pages.free).toBe(tight.pages.all);
    await tight.dispose();
  });
});

describe("what was computed before", () => {
  it("is not computed again: neither the picture nor the earlier turns", async () => {
    const counting = counted();
    const engine = new Engine(counting.network, tokenizer, sizes);
    const first = picturePrompt(engine, 90, "What is this?");
    const answer = await engine.generate(request(first));
    expect(counting.tiles()).toBe(1);
    const followUp = new Prompt(
      [...first.ids, ...answer.sequences[0].ids, ...tokenizer.encode("And now?")],
      tokenizer.idOf("<IMG_CONTEXT>"),
      first.blocks.map(({ values, ...block }) => block),
    );
    const before = counting.tokens();
    const second = await engine.generate(request(followUp, { maxNewTokens: 1 }));
    expect(counting.tiles()).toBe(1);
    // All but the last generated token, whose keys nobody needed yet, is found again, although no page ends there.
    const known = first.ids.length + answer.sequences[0].ids.length - 1;
    expect(known % sizes.pageSize).not.toBe(0);
    expect(second.cachedTokens).toBe(known);
    expect(counting.tokens() - before).toBe(followUp.ids.length - known);
    const fresh = new Engine(network, tokenizer, sizes);
    expect(second.sequences).toEqual(
      (await fresh.generate(request(followUp, { maxNewTokens: 1 }))).sequences,
    );
    await fresh.dispose();
    await engine.dispose();
  });

  it("is told apart by the picture's content, not by its token ids", async () => {
    const counting = counted();
    const engine = new Engine(counting.network, tokenizer, sizes);
    const dark = await engine.generate(request(picturePrompt(engine, 10, "What is this?")));
    const light = await engine.generate(request(picturePrompt(engine, 250, "What is this?")));
    expect(counting.tiles()).toBe(2);
    expect(light.cachedTokens).toBe(tokenizer.encode("A picture: <img>").length);
    expect(light.sequences[0].score).not.toBe(dark.sequences[0].score);
    await engine.dispose();
  });

  it("is computed again after clearCaches", async () => {
    const counting = counted();
    const engine = new Engine(counting.network, tokenizer, sizes);
    await engine.generate(request(picturePrompt(engine, 10, "What?")));
    engine.clearCaches();
    const again = await engine.generate(request(picturePrompt(engine, 10, "What?")));
    expect([counting.tiles(), again.cachedTokens]).toEqual([2, 0]);
    await engine.dispose();
  });
});

describe("a device that takes steps ahead", () => {
  it("gets the next before the last is done, and gives the same answers wherever they end", async () => {
    const plain = new Engine(network, tokenizer, sizes);
    const ahead = new Engine(queued, tokenizer, sizes);
    for (const options of [{}, { doSample: true, seed: 4, topK: 0 }, { minNewTokens: 5 }]) {
      const prompt = textPrompt("Hello, who are you?");
      const [{ ids }] = (await plain.generate(request(prompt, options))).sequences;
      for (const stop of [ids[0], ids[2], ids[6]]) {
        const ending = { ...options, stop: [stop] };
        const wanted = await plain.generate(request(prompt, ending));
        const got = await ahead.generate(request(prompt, ending));
        expect(got.sequences).toEqual(wanted.sequences);
        expect(got.cachedTokens).toBeLessThanOrEqual(wanted.cachedTokens);
      }
    }
    expect(queue.mostWaiting()).toBe(2);
    await plain.dispose();
    await ahead.dispose();
    expect(ahead.pages.free).toBe(ahead.pages.all);
  });

  it("takes newcomers in, lets others go, and stays the same for all", async () => {
    const ahead = new Engine(queued, tokenizer, sizes);
    const alone = new Engine(network, tokenizer, sizes);
    const texts = ["one", "two two", "three three three"];
    const wanted = [];
    for (const text of texts)
      wanted.push(await alone.generate(request(textPrompt(text), { maxNewTokens: 12 })));
    const later: Promise<{ sequences: unknown }>[] = [];
    const cancelled = new AbortController();
    const onToken = () => {
      if (later.length === 0) later.push(ahead.generate(request(textPrompt(texts[1]), { maxNewTokens: 12 })));
      else if (later.length === 1) {
        const signal = cancelled.signal;
        const lost = ahead.generate(request(textPrompt("lost"), { maxNewTokens: 12 }, { signal }));
        later.push(lost.catch((reason: unknown) => ({ sequences: reason })));
      } else if (later.length === 2) {
        later.push(ahead.generate(request(textPrompt(texts[2]), { maxNewTokens: 12 })));
        cancelled.abort("enough");
      }
    };
    const first = await ahead.generate(request(textPrompt(texts[0]), { maxNewTokens: 12 }, { onToken }));
    const [second, lost, third] = await Promise.all(later);
    expect([first, second, third].map(({ sequences }) => sequences)).toEqual(
      wanted.map(({ sequences }) => sequences),
    );
    expect(lost.sequences).toBe("enough");
    await ahead.dispose();
    await alone.dispose();
  });
});

describe("a device that takes a prompt behind its picture", () => {
  /** The queueing network, which notes what begins and ends, and whose pictures may fail. */
  function noted() {
    const events: string[] = [];
    const state = { fails: false };
    let encoding: Promise<unknown> | undefined;
    const spy = Object.create(queued) as Network;
    const end = async <T>(outputs: Promise<T>): Promise<T> => {
      const values = await outputs;
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (state.fails) throw new Error("the tower fell");
      events.push("encoded");
      return values;
    };
    Object.assign(spy, {
      description,
      tilesAtOnce: 1,
      queues: true,
      createCache: queued.createCache.bind(queued),
      encode: async (...args: Parameters<Network["encode"]>) => {
        events.push("encode");
        const { outputs, staying } = await queued.encode(...args);
        encoding = end(outputs);
        return { outputs: encoding, staying };
      },
      step: async (...args: Parameters<Network["step"]>) => {
        events.push(`step of ${args[0].sequences}`);
        const { outputs, staying } = await queued.step(...args);
        const behind = Promise.all([outputs, encoding]).then(([values]) => values);
        return { outputs: behind, staying };
      },
    });
    return { network: spy, events, state };
  }

  it("begins a prompt that is alone before its picture is done, and gives the same answer", async () => {
    const plain = new Engine(network, tokenizer, sizes);
    const { network: watched, events } = noted();
    const behind = new Engine(watched, tokenizer, sizes);
    const wanted = await plain.generate(request(picturePrompt(plain, 90, "What is it?")));
    const got = await behind.generate(request(picturePrompt(behind, 90, "What is it?")));
    expect(got.sequences).toEqual(wanted.sequences);
    expect(events.slice(0, 2)).toEqual(["encode", "step of 1"]);
    expect(events).toContain("encoded");
    expect(got.timings.encode).toBeGreaterThan(0);
    // Kept: shown again it is not encoded again.
    await behind.generate(request(picturePrompt(behind, 90, "And now?")));
    expect(events.filter((event) => event === "encode")).toHaveLength(1);
    await plain.dispose();
    await behind.dispose();
  });

  it("waits for the picture where others would fail with it", async () => {
    const { network: watched, events } = noted();
    const behind = new Engine(watched, tokenizer, sizes);
    await Promise.all([
      behind.generate(request(textPrompt("Hello"))),
      behind.generate(request(picturePrompt(behind, 91, "What is it?"))),
    ]);
    expect(events.slice(0, 2)).toEqual(["encode", "encoded"]);
    await behind.dispose();
  });

  it("fails a prompt whose picture fails, keeps nothing of it, and goes on", async () => {
    const { network: watched, events, state } = noted();
    const behind = new Engine(watched, tokenizer, sizes);
    state.fails = true;
    const work = behind.generate(request(picturePrompt(behind, 92, "What is it?")));
    await expect(work).rejects.toThrow("the tower fell");
    state.fails = false;
    const { sequences } = await behind.generate(request(picturePrompt(behind, 92, "What is it?")));
    expect(sequences[0].ids).toHaveLength(10);
    expect(events.filter((event) => event === "encode")).toHaveLength(2);
    await behind.dispose();
    expect(behind.pages.free).toBe(behind.pages.all);
  });
});

describe("options", () => {
  it("the same seed gives the same answer, another seed another one", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const sample = async (seed: number) =>
      (await engine.generate(request(textPrompt("Once"), { doSample: true, seed, topK: 0 }))).sequences[0]
        .ids;
    expect(await sample(1)).toEqual(await sample(1));
    expect(await sample(1)).not.toEqual(await sample(2));
    await engine.dispose();
  });

  it("several sampled answers differ from each other, and the first is that of one alone", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const options = { doSample: true, seed: 11, topK: 0 };
    const many = await engine.generate(request(textPrompt("Once"), { ...options, numReturnSequences: 4 }));
    const one = await engine.generate(request(textPrompt("Once"), options));
    expect(many.sequences[0].ids).toEqual(one.sequences[0].ids);
    expect(new Set(many.sequences.map(({ ids }) => ids.join())).size).toBe(4);
    await engine.dispose();
  });

  it("stops at an id or a text, the token that ends it included, but not before minNewTokens", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const prompt = textPrompt("Hello, who are you?");
    const [{ ids }] = (await engine.generate(request(prompt))).sequences;
    const stop = ids[3];
    const first = ids.indexOf(stop);
    const [byId] = (await engine.generate(request(prompt, { stop: [stop] }))).sequences;
    expect(byId).toMatchObject({ ids: ids.slice(0, first + 1), finishReason: "stop" });
    const [byEnd] = (await engine.generate(request(prompt, {}, { endIds: [stop] }))).sequences;
    expect(byEnd.ids).toEqual(byId.ids);
    const text = tokenizer.decode(ids);
    const piece = text.slice(4, 7);
    const [byText] = (await engine.generate(request(prompt, { stop: [piece] }))).sequences;
    expect(byText.finishReason).toBe("stop");
    expect(tokenizer.decode(byText.ids)).toContain(piece);
    expect(tokenizer.decode(byText.ids.slice(0, -1))).not.toContain(piece);
    const [late] = (await engine.generate(request(prompt, { stop: [stop], minNewTokens: 6 }))).sequences;
    expect(late.ids.length).toBeGreaterThanOrEqual(6);
    expect(late.ids.slice(0, 5)).not.toContain(stop);
    await engine.dispose();
  });

  it("a repetition penalty keeps tokens from coming back", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const options = { maxNewTokens: 40, repetitionPenalty: 100 };
    const [{ ids }] = (await engine.generate(request(textPrompt("a a a a"), options))).sequences;
    expect(new Set(ids).size).toBe(ids.length);
    await engine.dispose();
  });

  it("beams are at least as likely as greedy, and come best first", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const prompt = textPrompt("Hello, who are you?");
    const [greedy] = (await engine.generate(request(prompt))).sequences;
    const beams = (await engine.generate(request(prompt, { numBeams: 4, numReturnSequences: 4 }))).sequences;
    expect(beams[0].score).toBeGreaterThanOrEqual(greedy.score);
    expect(beams.map(({ score }) => score)).toEqual(beams.map(({ score }) => score).sort((a, b) => b - a));
    await engine.dispose();
  });

  it("ends at the context with finishReason length, and refuses a longer prompt by how much", async () => {
    const engine = new Engine(network, tokenizer, { ...sizes, contextLength: 64 });
    const prompt = new Prompt(new Array(60).fill(5), undefined, []);
    const [{ ids, finishReason }] = (await engine.generate(request(prompt))).sequences;
    expect([ids.length, finishReason]).toEqual([4, "length"]);
    const long = new Prompt(new Array(70).fill(5), undefined, []);
    expect(() => engine.generate(request(long))).toThrow(ContextLengthError);
    expect(() => engine.generate(request(long))).toThrow("70 tokens, 7 more than");
    await engine.dispose();
  });
});

describe("trouble", () => {
  it("cancels while encoding, in a prompt, and while answering; the engine stays usable and loses no page", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const reason = new Error("enough");
    for (const phase of ["encode", "prefill", "token"] as const) {
      const controller = new AbortController();
      const work = engine.generate(
        request(
          picturePrompt(engine, phase.length, "x".repeat(200)),
          { maxNewTokens: 200 },
          {
            signal: controller.signal,
            onProgress: (progress) => progress.phase === phase && controller.abort(reason),
            onToken: () => phase === "token" && controller.abort(reason),
          },
        ),
      );
      await expect(work).rejects.toBe(reason);
      expect(engine.pages.free).toBe(engine.pages.all);
    }
    const { sequences } = await engine.generate(request(textPrompt("still there?")));
    expect(sequences[0].ids).toHaveLength(10);
    await engine.dispose();
  });

  it("answers a request that comes at any moment around the end of the last one", {
    timeout: 20_000,
  }, async () => {
    const engine = new Engine(network, tokenizer, sizes);
    for (let moments = 0; moments < 12; moments++) {
      const cancel = new AbortController();
      const onProgress = () => cancel.abort(new Error("enough"));
      const first = engine.generate(request(textPrompt("one"), {}, { signal: cancel.signal, onProgress }));
      await first.catch(() => undefined); // no more turns of the queue than needed
      for (let i = 0; i < moments; i++) await Promise.resolve();
      const { sequences } = await engine.generate(request(textPrompt("two"), { maxNewTokens: 1 }));
      expect(sequences[0].ids).toHaveLength(1);
    }
    await engine.dispose();
  });

  it("fails what waits when the device fails outside of a step, and goes on afterwards", async () => {
    const spy = Object.create(network) as Network;
    let broken = true;
    Object.assign(spy, {
      description,
      createCache: (...args: Parameters<Network["createCache"]>) => {
        const cache = network.createCache(...args);
        const copyPage = cache.copyPage.bind(cache);
        cache.copyPage = (from, to) => {
          if (broken) throw new Error("the device is gone");
          copyPage(from, to);
        };
        return cache;
      },
      step: network.step.bind(network),
    });
    const engine = new Engine(spy, tokenizer, sizes);
    const several = { doSample: true, numReturnSequences: 2, seed: 1 };
    await expect(engine.generate(request(textPrompt("one two three"), several))).rejects.toThrow("gone");
    broken = false;
    const { sequences } = await engine.generate(request(textPrompt("one two three"), several));
    expect(sequences).toHaveLength(2);
    await engine.dispose();
  });

  it("a callback that throws fails its own request only", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const bad = engine.generate(
      request(
        textPrompt("one"),
        {},
        {
          onToken: () => {
            throw new RangeError("mine");
          },
        },
      ),
    );
    const good = engine.generate(request(textPrompt("two")));
    await expect(bad).rejects.toThrow("mine");
    expect((await good).sequences[0].ids).toHaveLength(10);
    await engine.dispose();
  });

  it("gives the same features when the device takes several tiles at once", async () => {
    const { tileSize } = description.tiling;
    const tiles = Array.from({ length: 5 }, (_, i) => new Uint8Array(tileSize * tileSize * 3).fill(40 * i));
    const one = new Engine(network, tokenizer, sizes);
    const { network: spy, tiles: calls } = counted();
    const three = new Engine(Object.assign(spy, { tilesAtOnce: 3 }), tokenizer, sizes);
    expect(await three.encodeTiles(tiles)).toEqual(await one.encodeTiles(tiles));
    expect(calls()).toBe(2);
    const picture = () => picturePrompt(three, 200, "What is it?");
    const alone = await one.generate(request(picturePrompt(one, 200, "What is it?")));
    expect((await three.generate(request(picture()))).sequences).toEqual(alone.sequences);
    await one.dispose();
    await three.dispose();
  });

  it("says so when the logits hold a NaN", async () => {
    const poisoned: TensorStore = {
      tensors: store.tensors,
      readFloats: (name) => store.readFloats(name),
      close: () => Promise.resolve(),
      async readRows(name, first, rows) {
        const bytes = (await store.readRows(name, first, rows)).slice();
        if (name.endsWith("lm_head.weight")) bytes.fill(0xff, 0, 2); // a bf16 NaN
        return bytes;
      },
    };
    const damaged = await Network.load(description, poisoned, new ReferenceBackend("f32"));
    const engine = new Engine(damaged, tokenizer, sizes);
    await expect(engine.generate(request(textPrompt("?")))).rejects.toThrow(NumericError);
    await expect(engine.generate(request(textPrompt("?"), { numBeams: 2 }))).rejects.toThrow(NumericError);
    expect(engine.pages.free).toBe(engine.pages.all);
    await engine.dispose();
    damaged.dispose();
  });

  it("fails what runs when it is disposed, and everything after", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    const work = engine.generate(request(textPrompt("on and on"), { maxNewTokens: 400 }));
    const failed = expect(work).rejects.toThrow(DisposedError);
    await engine.dispose();
    await failed;
    expect(() => engine.generate(request(textPrompt("?")))).toThrow(DisposedError);
    await engine.dispose();
  });

  it("lets the event loop turn while it works", async () => {
    const engine = new Engine(network, tokenizer, sizes);
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    await engine.generate(request(textPrompt("on and on"), { maxNewTokens: 60 }));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
    await engine.dispose();
  });
});
