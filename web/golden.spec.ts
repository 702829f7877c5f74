import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenModels } from "../test/golden-tokenizers.ts";
import {
  conversationOf,
  featuresFor,
  type GoldenCase,
  goldenTolerance,
  idsOf,
  readGolden,
  tilesAtMarks,
} from "../test/support/golden.ts";
import { type RangeServer, serveRanges } from "../test/support/range-server.ts";
import "../test/support/to-be-allclose.ts";
import { openBrowser, problemsOf } from "./support/browser.ts";
import { openHarness, serveHarness } from "./support/serve.ts";

/** Kernels as WebAssembly in threads, and WGSL on the software adapter that comes with Chromium. */
const devices = ["cpu", "webgpu"] as const;

let browser: Browser;
let harness: RangeServer;
let checkpoints: RangeServer;
beforeAll(async () => {
  harness = await serveHarness();
  checkpoints = await serveRanges({ "/": "test/golden/models" });
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await harness?.close();
  await checkpoints?.close();
});

describe.each(devices)("in a page, on %s", (device) => {
  describe.each(goldenModels)("%s, loaded by its address", (name) => {
    const golden = readGolden(name);
    let page: Page;
    let problems: string[];
    let features: Float32Array;

    beforeAll(async () => {
      page = await openHarness(harness, browser);
      problems = problemsOf(page);
      await page.evaluate(
        async ({ address, ...options }) => {
          models.golden = await internvl.InternVL.load(address, options);
        },
        { address: `${checkpoints.origin}/${name}/`, device, precision: "f32" as const, cacheTokens: 4096 },
      );
      features = await page.evaluate((tiles) => models.golden.encodeImages(tiles), [...golden.tiles]);
    });
    afterAll(() => page.context().close());

    it("runs where it was told to, with nothing amiss", async () => {
      expect(await page.evaluate(() => models.golden.device)).toBe(device);
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
      // Files that a checkpoint may have, and this one has not.
      expect(problems.filter((text) => !text.includes("404 (Not Found)"))).toEqual([]);
    });

    it("has the image features", () => {
      const { data } = golden.tensors.get("image_features")!;
      expect(features.subarray(0, data.length)).toBeAllclose(data, goldenTolerance);
      // The check can fail: rows of another token are not these.
      expect(features.subarray(data.length / 2, data.length)).not.toBeAllclose(
        data.slice(0, data.length - data.length / 2),
        goldenTolerance,
      );
    });

    it.each(golden.cases)("$name: prompt, logits, greedy tokens, text and beams", async (which) => {
      const shown = featuresFor(which, features, golden.tiles.length);
      const ids = idsOf(which);
      const got = await page.evaluate(ask, {
        ids,
        features: shown,
        prompt: promptOf(which, golden.tokens_per_tile),
        newTokens: which.greedy.length,
        beams: which.beam3 ? 3 : 0,
      });
      expect(got.prompt).toEqual(ids);
      expect(got.logits).toBeAllclose(golden.tensors.get(`logits_${which.name}`)!.data, goldenTolerance);
      expect(got.greedy).toEqual(which.greedy);
      expect(got.text).toBe(which.greedy_text);
      expect(got.beams.map(({ ids }) => ids)).toEqual((which.beam3 ?? []).map(({ tokens }) => tokens));
      expect(got.beams.map(({ score }) => score)).toBeAllclose(
        (which.beam3 ?? []).map(({ score }) => score),
        { within: 1e-4 },
      );
    });
  });
});

function promptOf(which: GoldenCase, tokensPerTile: number) {
  return { ...conversationOf(which), tiles: tilesAtMarks(which), tokensPerTile };
}

/** What the model of the page makes of a case. Runs in the page: nothing of this file is there. */
async function ask(given: {
  ids: number[];
  features: Float32Array | undefined;
  prompt: ReturnType<typeof promptOf>;
  newTokens: number;
  beams: number;
}) {
  const model = models.golden;
  const { ids, features, newTokens: maxNewTokens } = given;
  const text = internvl.buildPrompt({ template: model.template.name, ...given.prompt });
  const logits = await model.logits(ids, features);
  const { sequences } = await model.generate(ids, { features, maxNewTokens });
  const greedy = [...sequences[0].ids];
  let beams: { ids: number[]; score: number }[] = [];
  if (given.beams > 0) {
    const { beams: numBeams } = given;
    const found = await model.generate(ids, {
      features,
      numBeams,
      numReturnSequences: numBeams,
      maxNewTokens: 6,
    });
    beams = found.sequences.map(({ ids, score }) => ({ ids: [...ids], score }));
  }
  const [decoded] = model.tokenizer.decode(greedy).split(model.template.end);
  return { prompt: model.tokenizer.encode(text), logits, greedy, text: decoded, beams };
}
