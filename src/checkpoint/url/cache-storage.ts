import { type PageStore, type StorePath, storeName } from "./store.ts";

/** Cache Storage wants requests as names. Nothing is ever fetched from here. */
const prefix = "https://internvl.invalid/";

/** Cache Storage, where there is no private file system: `put` is one step, too. */
export async function openCacheStorage(): Promise<PageStore | undefined> {
  let cache: Cache;
  try {
    cache = await caches.open(storeName);
  } catch {
    return undefined;
  }
  const addressOf = ([folder, file]: StorePath) => `${prefix}${folder}/${file}`;
  const paths = async () =>
    (await cache.keys()).map(({ url }) => url.slice(prefix.length).split("/") as [string, string]);
  return {
    async read(path) {
      const response = await cache.match(addressOf(path));
      return response && new Uint8Array(await response.arrayBuffer());
    },
    async size(path) {
      return Number((await cache.match(addressOf(path)))?.headers.get("content-length") ?? 0);
    },
    async write(path, bytes) {
      const headers = { "content-length": String(bytes.length) };
      await cache.put(addressOf(path), new Response(bytes as Uint8Array<ArrayBuffer>, { headers }));
    },
    async list(folder) {
      const all = await paths();
      if (folder === undefined) return [...new Set(all.map(([name]) => name))];
      return all.filter(([name]) => name === folder).map(([, file]) => file);
    },
    async remove(folder) {
      for (const path of await paths()) if (path[0] === folder) await cache.delete(addressOf(path));
    },
  };
}
