import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { DeviceTensor } from "../backend/backend.ts";
import { PromptError } from "../errors.ts";
import { createTokenizer } from "../text/tokenizer.ts";
import { FeatureCache } from "./features.ts";
import { Prompt } from "./prompt.ts";
import { PromptFeatures } from "./prompt-features.ts";
import { uniform } from "./random.ts";
import { StopTexts } from "./stop-texts.ts";

describe("Prompt", () => {
  const block = (rows: number, identity: number) => ({ rows, identity });

  it("gives image tokens their rows in order, and keys that stand for the picture's content", () => {
    const prompt = new Prompt([5, 9, 9, 6, 9, 7], 9, [block(2, 1), block(1, 2)]);
    expect([...prompt.featureRows]).toEqual([-1, 0, 1, -1, 2, -1]);
    expect(prompt.keys.filter((key) => key >= 0)).toEqual([5, 6, 7]);
    expect(new Set(prompt.keys).size).toBe(6);
    const same = new Prompt([5, 9, 9, 6, 9, 7], 9, [block(2, 1), block(1, 3)]);
    expect(same.keys.map((key, i) => key === prompt.keys[i])).toEqual([true, true, true, true, false, true]);
  });

  it("names the blocks that a stretch of tokens needs", () => {
    const prompt = new Prompt([5, 9, 9, 6, 9, 7], 9, [block(2, 1), block(1, 2)]);
    const between = (start: number, end: number) =>
      prompt.blocksBetween(start, end).map(({ identity }) => identity);
    expect(between(0, 6)).toEqual([1, 2]);
    expect(between(2, 4)).toEqual([1]);
    expect(between(3, 6)).toEqual([2]);
    expect(between(5, 6)).toEqual([]);
  });

  it("refuses more image tokens than features, or fewer", () => {
    expect(() => new Prompt([9, 9], 9, [block(1, 1)])).toThrow(PromptError);
    expect(() => new Prompt([9], 9, [block(2, 1)])).toThrow("1 image tokens, but the pictures have 2");
  });
});

describe("FeatureCache", () => {
  it("lets the least used go when it is full, never the newest", () => {
    const cache = new FeatureCache(24);
    const [a, b, c] = ["a", "b", "c"].map((hash) => cache.identityOf(hash));
    const rows = (values: number) => ({ of: new Float32Array(values), first: 0, count: 1 });
    cache.keep(a, rows(3));
    cache.keep(b, rows(3));
    cache.get(a);
    cache.keep(c, rows(3));
    expect([a, b, c].map((identity) => cache.get(identity) !== undefined)).toEqual([true, false, true]);
    cache.keep(b, rows(30));
    expect(cache.get(b)?.of).toHaveLength(30);
    expect(cache.get(c)).toBeUndefined();
    expect(cache.identityOf("a")).toBe(a);
    expect(cache.newIdentity()).not.toBe(c);
  });
});

describe("PromptFeatures", () => {
  /** A tensor on a device, and who holds it. */
  function watched(rows: number) {
    let holders = 1;
    const tensor: DeviceTensor = {
      rows,
      columns: 2,
      bytes: rows * 8,
      read: async () => new Float32Array(rows * 2),
      hold: () => void holders++,
      letGo: () => void holders--,
    };
    return { tensor, holders: () => holders };
  }

  it("gives rows in few pieces, and holds them until it is released, whatever the cache does", () => {
    const cache = new FeatureCache(24);
    const blocks = [
      { rows: 2, identity: cache.newIdentity() },
      { rows: 1, identity: cache.newIdentity() },
      { rows: 1, identity: cache.newIdentity(), values: Float32Array.of(8, 9) },
    ];
    const features = new PromptFeatures(new Prompt([5, 9, 9, 6, 9, 9, 7], 9, blocks), cache);
    expect(features.missing(0)).toEqual(blocks.slice(0, 2));
    expect(() => features.between(0, 2)).toThrow("feature row 0 was not computed");
    const { tensor, holders } = watched(3);
    cache.keep(blocks[0].identity, { of: tensor, first: 0, count: 2 });
    features.add(blocks[1], { of: tensor, first: 2, count: 1 });
    tensor.letGo();
    expect(features.missing(0)).toEqual([]);
    expect(holders()).toBe(3);
    expect(features.between(0, 7)).toEqual([
      { of: tensor, first: 0, count: 3 },
      { of: blocks[2].values, first: 0, count: 1 },
    ]);
    expect(features.between(2, 5)).toEqual([{ of: tensor, first: 1, count: 2 }]);
    cache.clear();
    expect(holders()).toBe(2);
    features.release();
    expect(holders()).toBe(0);
  });
});

describe("uniform", () => {
  it("lies in [0, 1) also as f32, spreads evenly, and depends on each argument", () => {
    const bins = new Array(10).fill(0);
    for (let step = 0; step < 20000; step++) {
      const draw = uniform(1, 0, step);
      expect(Math.fround(draw)).toBeLessThan(1);
      bins[Math.floor(draw * 10)]++;
    }
    for (const bin of bins) expect(Math.abs(bin - 2000)).toBeLessThan(200);
    const draws = [
      uniform(1, 0, 0),
      uniform(2, 0, 0),
      uniform(1, 1, 0),
      uniform(1, 0, 1),
      uniform(2 ** 40 + 1, 0, 0),
    ];
    expect(new Set(draws).size).toBe(5);
    expect(uniform(1, 0, 0)).toBe(draws[0]);
  });
});

describe("StopTexts", () => {
  const folder = new URL("../../test/golden/models/tiny-2b/", import.meta.url);
  const tokenizer = createTokenizer(
    new Map(
      ["tokenizer.model", "tokenizer_config.json"].map((name) => [name, readFileSync(new URL(name, folder))]),
    ),
  );

  it("sees a text that several tokens spell, at the token that completes it", () => {
    const ids = tokenizer.encode("The answer is: STOP here", { addSpecial: false });
    const watch = new StopTexts(tokenizer, ["nothing", "STOP"]);
    const at = ids.findIndex((id) => watch.push(id));
    expect(tokenizer.decode(ids.slice(0, at + 1))).toContain("STOP");
    expect(tokenizer.decode(ids.slice(0, at))).not.toContain("STOP");
  });

  it("never fires without texts", () => {
    const watch = new StopTexts(tokenizer, []);
    expect(tokenizer.encode("anything").some((id) => watch.push(id))).toBe(false);
  });
});
