import { describe, expect, it } from "vitest";
import { ReferenceCache } from "./cache.ts";

const layout = { layers: 2, keyValueHeads: 2, headSize: 3, pageSize: 4 };

describe("ReferenceCache", () => {
  it("keeps a key and a value for each layer and slot, apart from all others", () => {
    const cache = new ReferenceCache(layout, 3);
    const places = [0, 1].flatMap((layer) => Array.from({ length: 12 }, (_, slot) => ({ layer, slot })));
    places.forEach(({ layer, slot }, i) => {
      cache.key(layer, slot).fill(i + 1);
      cache.value(layer, slot).fill(-i - 1);
    });
    places.forEach(({ layer, slot }, i) => {
      expect([...cache.key(layer, slot)]).toEqual(Array(6).fill(i + 1));
      expect([...cache.value(layer, slot)]).toEqual(Array(6).fill(-i - 1));
    });
  });

  it("copies all layers of a page, and the copy is its own", () => {
    const cache = new ReferenceCache(layout, 3);
    cache.key(0, 1).fill(1);
    cache.value(1, 3).fill(2);
    cache.copyPage(0, 2);
    expect([...cache.key(0, 9)]).toEqual(Array(6).fill(1));
    expect([...cache.value(1, 11)]).toEqual(Array(6).fill(2));
    cache.key(0, 9).fill(5);
    expect([...cache.key(0, 1)]).toEqual(Array(6).fill(1));
  });

  it("copies a page that was never written as an empty one", () => {
    const cache = new ReferenceCache(layout, 2);
    cache.key(0, 4).fill(1);
    cache.copyPage(0, 1);
    expect([...cache.key(0, 4)]).toEqual(Array(6).fill(0));
  });

  it("refuses a slot beyond its pages", () => {
    expect(() => new ReferenceCache(layout, 2).key(0, 8)).toThrow("slot 8 is beyond 2 pages");
  });
});
