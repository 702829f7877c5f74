import { factsName, fromBase64, readFacts } from "./kept-files.ts";
import { openPageStore } from "./open-store.ts";

/** A file of a checkpoint that the browser keeps, whole or in part. */
export interface CachedFile {
  readonly url: string;
  /** Bytes of the file, and how many of them are kept. */
  readonly size: number;
  readonly kept: number;
}

/** What pages of this origin have kept of checkpoints that came from addresses. Nothing in Node. */
export async function cachedCheckpoints(): Promise<CachedFile[]> {
  const store = await openPageStore();
  const found: CachedFile[] = [];
  for (const folder of (await store?.list()) ?? []) {
    const facts = await readFacts(store!, folder);
    if (!facts) continue;
    let kept = fromBase64(facts.head).length === facts.size ? facts.size : 0;
    for (const name of await store!.list(folder)) {
      if (name !== factsName) kept += await store!.size([folder, name]);
    }
    found.push({ url: facts.url, size: facts.size, kept });
  }
  return found;
}

/** Removes what pages of this origin have kept of checkpoints; given a folder's address, only what lies under it. */
export async function clearCheckpointCache(folder?: string | URL): Promise<void> {
  const store = await openPageStore();
  const under = folder === undefined ? undefined : new URL(folder, globalThis.location?.href);
  for (const name of (await store?.list()) ?? []) {
    const url = under && (await readFacts(store!, name))?.url;
    if (!under || url?.startsWith(`${under.origin}${under.pathname}`)) await store!.remove(name);
  }
}
