import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { cachedCheckpoints, clearCheckpointCache } from "./cached-checkpoints.ts";
import { KeptFiles } from "./kept-files.ts";
import type { RemoteFacts } from "./server.ts";

/** As much of Cache Storage as is used; `room` is how many bytes it takes. */
class FakeCache {
  readonly kept = new Map<string, Response>();
  room = Number.POSITIVE_INFINITY;
  async match(url: string) {
    return this.kept.get(url)?.clone();
  }
  async put(url: string, response: Response) {
    this.room -= (await response.clone().arrayBuffer()).byteLength;
    if (this.room < 0) throw new DOMException("Quota exceeded.", "QuotaExceededError");
    this.kept.set(url, response);
  }
  async keys() {
    return [...this.kept.keys()].map((url) => ({ url }));
  }
  async delete(url: string) {
    return this.kept.delete(url);
  }
}

let cache: FakeCache;
let notices: string[];
beforeEach(() => {
  cache = new FakeCache();
  notices = [];
  vi.stubGlobal("caches", { open: async () => cache });
  vi.stubGlobal("navigator", { storage: { estimate: async () => ({ usage: 12e6 }) } });
});
afterEach(() => vi.unstubAllGlobals());

const url = new URL("https://example.org/model/model.safetensors?key=secret");
const facts: RemoteFacts = { size: 30, version: "etag:one", head: Uint8Array.of(1, 2, 3) };
const block = (value: number, length = 10) => new Uint8Array(length).fill(value);
const open = async () => (await KeptFiles.open((text) => notices.push(text)))!;
const fileOf = async (changes: Partial<RemoteFacts> = {}, where = url) =>
  (await (await open()).file(where, { ...facts, ...changes }))!;

describe("what a page keeps of a file", () => {
  it("comes back, block by block, and so do the facts, whatever the address's query", async () => {
    await (await fileOf()).write(1, block(7));
    const again = new URL("https://example.org/model/model.safetensors?key=another");
    expect(await (await open()).facts(again)).toEqual(facts);
    const file = await fileOf({}, again);
    expect(await file.read(1, 10)).toEqual(block(7));
    expect(await file.read(0, 10)).toBeUndefined();
    expect([...cache.kept.keys()].join()).not.toContain("secret");
  });

  it("is let go when the server's file has another version or size, or none", async () => {
    await (await fileOf()).write(0, block(1));
    expect(await (await fileOf({ version: "etag:two" })).read(0, 10)).toBeUndefined();
    // The first version's blocks are gone, not hidden.
    expect(await (await fileOf()).read(0, 10)).toBeUndefined();
    await (await fileOf()).write(0, block(1));
    expect(await (await fileOf({ size: 31 })).read(0, 10)).toBeUndefined();
    expect(await (await open()).file(url, { ...facts, version: undefined })).toBeUndefined();
  });

  it("is not believed when a block has another length, or the facts are no JSON", async () => {
    const file = await fileOf();
    await file.write(0, block(1, 9));
    expect(await file.read(0, 10)).toBeUndefined();
    for (const name of cache.kept.keys()) {
      if (name.endsWith("/facts")) cache.kept.set(name, new Response("{"));
    }
    expect(await (await open()).facts(url)).toBeUndefined();
    expect(await cachedCheckpoints()).toEqual([]);
  });

  it("ends where the browser says so, which is told once", async () => {
    cache.room = 300;
    const kept = await open();
    const file = (await kept.file(url, facts))!;
    for (let index = 0; index < 40; index++) await file.write(index, block(index));
    expect(notices).toHaveLength(1);
    expect(notices[0]).toContain("than the 12 MB it has");
    expect(await file.read(0, 10)).toEqual(block(0));
    expect(await file.read(39, 10)).toBeUndefined();
  });

  it("is listed, and cleared by folder or as a whole", async () => {
    const other = new URL("https://example.org/other/model.safetensors");
    await (await fileOf()).write(0, block(1));
    await (await fileOf({}, other)).write(0, block(1));
    expect(await cachedCheckpoints()).toEqual([
      { url: "https://example.org/model/model.safetensors", size: 30, kept: 10 },
      { url: other.href, size: 30, kept: 10 },
    ]);
    await clearCheckpointCache("https://example.org/model/");
    expect((await cachedCheckpoints()).map(({ url }) => url)).toEqual([other.href]);
    await clearCheckpointCache();
    expect(cache.kept.size).toBe(0);
  });

  it("is nothing in Node, without a word, and nothing in a page that may not, which is said", async () => {
    vi.unstubAllGlobals();
    expect(await KeptFiles.open((text) => notices.push(text))).toBeUndefined();
    expect(await cachedCheckpoints()).toEqual([]);
    expect(notices).toEqual([]);
    vi.stubGlobal("navigator", {});
    vi.stubGlobal("document", {});
    expect(await KeptFiles.open((text) => notices.push(text))).toBeUndefined();
    expect(notices).toEqual([expect.stringContaining("https:")]);
  });
});
