import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PagePool } from "./page-pool.ts";
import { PrefixCache } from "./prefix-cache.ts";

const pageSize = 4;

/** Puts keys in as a sequence would: takes pages, keeps them, lets go of them. */
function put(pool: PagePool, cache: PrefixCache, keys: readonly number[], variant = "plain"): number[] {
  const pages = Array.from({ length: Math.ceil(keys.length / pageSize) }, () => pool.take()!);
  cache.keep(variant, keys, pages);
  for (const page of pages) pool.letGo(page);
  return pages;
}

describe("PagePool", () => {
  it("hands out each page once, and again when its last holder lets go", () => {
    const pool = new PagePool(2);
    const [a, b] = [pool.take()!, pool.take()!];
    expect(new Set([a, b])).toEqual(new Set([0, 1]));
    expect(pool.take()).toBeUndefined();
    pool.hold(a);
    pool.letGo(a);
    expect(pool.take()).toBeUndefined();
    pool.letGo(a);
    expect(pool.take()).toBe(a);
    expect(() => new PagePool(1).letGo(0)).toThrow("no holder");
  });
});

describe("PrefixCache", () => {
  it("finds full pages, and the page where the prompt leaves what is known", () => {
    const pool = new PagePool(8);
    const cache = new PrefixCache(pool, pageSize);
    const [first, second] = put(pool, cache, [1, 2, 3, 4, 5, 6]);
    expect(cache.find("plain", [1, 2, 3, 4, 5, 9, 9], 6)).toEqual({
      pages: [first],
      partial: { page: second, count: 1 },
      tokens: 5,
    });
    expect(cache.find("plain", [1, 2, 9], 2)).toEqual({
      pages: [],
      partial: { page: first, count: 2 },
      tokens: 2,
    });
    expect(cache.find("plain", [9, 2, 3, 4], 4).tokens).toBe(0);
    expect(cache.find("other frequencies", [1, 2, 3, 4], 4).tokens).toBe(0);
  });

  it("keeps a page once, however often the same content comes", () => {
    const pool = new PagePool(8);
    const cache = new PrefixCache(pool, pageSize);
    for (let i = 0; i < 5; i++) put(pool, cache, [1, 2, 3, 4, 5]);
    expect(pool.freePages).toBe(6);
    expect(cache.evictablePages).toBe(2);
  });

  it("gives up the oldest first, children before parents, and nothing that somebody holds", () => {
    const pool = new PagePool(8);
    const cache = new PrefixCache(pool, pageSize);
    const [a1, a2] = put(pool, cache, [1, 1, 1, 1, 2, 2, 2, 2]);
    const [b1] = put(pool, cache, [3, 3, 3, 3]);
    cache.find("plain", [1, 1, 1, 1], 4); // used lately
    pool.hold(b1);
    expect(cache.evictablePages).toBe(2);
    expect(cache.evict()).toBe(true);
    expect(pool.holders(a2)).toBe(0);
    expect(cache.evict()).toBe(true);
    expect(pool.holders(a1)).toBe(0);
    expect(cache.evict()).toBe(false);
    pool.letGo(b1);
    cache.clear();
    expect(pool.freePages).toBe(8);
  });

  it("finds exactly the longest common prefix with anything kept", () => {
    const keys = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 14 });
    fc.assert(
      fc.property(fc.array(keys, { maxLength: 6 }), keys, (kept, wanted) => {
        const pool = new PagePool(64);
        const cache = new PrefixCache(pool, pageSize);
        for (const each of kept) put(pool, cache, each);
        const common = (other: readonly number[]) => {
          let length = 0;
          while (length < wanted.length && length < other.length && wanted[length] === other[length])
            length++;
          return length;
        };
        const longest = Math.max(0, ...kept.map(common));
        const found = cache.find("plain", wanted, wanted.length);
        expect(found.tokens).toBe(longest);
        expect(found.pages.length).toBe(Math.floor((longest - (found.partial?.count ?? 0)) / pageSize));
        cache.clear();
        expect(pool.freePages).toBe(64);
      }),
    );
  });
});
