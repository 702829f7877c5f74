import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden-tokenizers.ts";
import { loadGolden, readGolden } from "../../test/support/golden.ts";
import { openFolder } from "../checkpoint/folder.node.ts";
import type { RGBImage } from "../media/image.ts";
import type { Progress } from "../progress.ts";
import { InternVL } from "./internvl.ts";
import type { Reply } from "./reply.ts";

const golden = readGolden("tiny-2b");
const reason = new Error("enough");
const grey = (value: number): RGBImage => ({ width: 8, height: 8, data: new Uint8Array(192).fill(value) });

let model: InternVL;
let wanted: Reply;
const ask = () => model.chat("Hello", { maxNewTokens: 3 });
beforeAll(async () => {
  model = await loadGolden("tiny-2b", "f32");
  wanted = await ask();
});
afterAll(() => model.dispose());
beforeEach(() => model.clearCaches());

/** Aborts at the first progress that is wanted. */
function abortAt(found: (progress: Progress) => boolean) {
  const controller = new AbortController();
  const seen: Progress[] = [];
  const onProgress = (progress: Progress) => {
    seen.push({ ...progress });
    if (found(progress)) controller.abort(reason);
  };
  return { signal: controller.signal, onProgress, seen };
}

describe("a question ends with the signal's reason, and the model answers the next as ever", () => {
  const check = async (work: Promise<unknown>) => {
    await expect(work).rejects.toBe(reason);
    const next = await ask();
    expect([next.text, next.usage.completionTokens]).toEqual([wanted.text, 3]);
  };

  it("before it begins", async () => {
    const signal = AbortSignal.abort(reason);
    await check(model.chat("Hello", { signal }));
    await check(model.chat("Hello", { images: [grey(1)], signal }));
    await check(model.encodeImages(golden.tiles, { signal }));
    await check(model.generate([1, 2, 3], { signal }));
    await check(model.logits([1, 2, 3], undefined, { signal }));
  });

  it("while a picture is on its way", async () => {
    const silent = createServer(() => controller.abort(reason));
    const controller = new AbortController();
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/never.png`;
    await check(model.chat("Hello", { images: [grey(1), address], signal: controller.signal }));
    silent.closeAllConnections();
    await new Promise((resolve) => silent.close(resolve));
  });

  it("between tiles", async () => {
    const { seen, ...options } = abortAt(({ phase, loaded }) => phase === "encode" && loaded === 2);
    const images = [grey(1), grey(2), grey(3), grey(4)];
    await check(model.chat("Hello", { images, ...options }));
    expect(seen.filter(({ phase }) => phase === "encode")).toHaveLength(2);
  });

  it("between pieces of a long prompt", async () => {
    const { seen, ...options } = abortAt(({ phase }) => phase === "prefill");
    await check(model.chat("word ".repeat(600), options));
    expect(seen).toHaveLength(1);
    expect(seen[0].loaded).toBeLessThan(seen[0].total);
  });

  it("between tokens", async () => {
    const controller = new AbortController();
    const stream = model.stream("Hello", { maxNewTokens: 900, signal: controller.signal });
    const texts: string[] = [];
    const reading = (async () => {
      for await (const { text } of stream) {
        texts.push(text);
        if (texts.length === 4) controller.abort(reason);
      }
    })();
    await check(reading);
    await expect(stream.reply).rejects.toBe(reason);
    expect(texts.length).toBeLessThan(100);
  });

  it("between tiles and steps of the stages", async () => {
    for (const work of [
      (signal: AbortSignal) => model.encodeImages(new Array(50).fill(golden.tiles[0]), { signal }),
      (signal: AbortSignal) => model.generate([1, 2, 3], { maxNewTokens: 900, signal }),
      (signal: AbortSignal) => model.logits(new Array(5000).fill(300), undefined, { signal }),
    ]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 40);
      await check(work(controller.signal));
    }
  });

  it("when a callback of the caller throws", async () => {
    const onProgress = () => {
      throw reason;
    };
    await check(model.chat("Hello", { images: [grey(5)], onProgress }));
  });

  it("and beside others: those go on", async () => {
    const controller = new AbortController();
    const cancelled = model.chat("word ".repeat(300), { signal: controller.signal });
    const other = model.chat("Hello", { maxNewTokens: 3, onProgress: () => controller.abort(reason) });
    await check(cancelled);
    expect((await other).text).toBe(wanted.text);
  });
});

describe("loading ends with the signal's reason, its files closed", () => {
  it.each([
    ["before it begins", () => true, true],
    ["between tensors", ({ phase, loaded }: Progress) => phase === "load" && loaded > 0, false],
  ])("%s", async (_, found, atOnce) => {
    const files = await openFolder(goldenFolder("tiny-2b"));
    let closed = 0;
    const watched = Object.assign(Object.create(files), {
      label: files.label,
      has: (name: string) => files.has(name),
      size: (name: string) => files.size(name),
      read: (...range: Parameters<typeof files.read>) => files.read(...range),
      close: () => {
        closed++;
        return files.close();
      },
    });
    const { signal, onProgress } = abortAt(found);
    const options = atOnce ? { signal: AbortSignal.abort(reason) } : { signal, onProgress };
    await expect(InternVL.load(watched, options)).rejects.toBe(reason);
    expect(closed).toBe(1);
  });

  it("for a folder too", async () => {
    const signal = AbortSignal.abort(reason);
    await expect(InternVL.load(goldenFolder("tiny-1b"), { signal })).rejects.toBe(reason);
  });
});
