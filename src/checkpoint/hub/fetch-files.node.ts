import { statfs } from "node:fs/promises";
import type { OnProgress, Progress } from "../../progress.ts";
import type { RepositoryCache } from "./cache.node.ts";
import { fileSize } from "./cache.node.ts";
import { diskFull, downloadFile } from "./download.node.ts";
import type { FileFacts } from "./listing.ts";
import { fileFacts } from "./listing.ts";
import { withLock } from "./lock.node.ts";
import { orUnreachable } from "./refusal.ts";
import type { Hub } from "./request.ts";

const filesAtOnce = 2;

/** Progress of a 16 GB download is told this often, not half a million times. */
const reportMilliseconds = 50;

/**
 * Brings files into the snapshot of `commit`, those that it does not have yet, two at a time; a stage begins when the one
 * before is all there. `onProgress` hears of all stages as one.
 */
export async function fetchFiles(
  hub: Hub,
  cache: RepositoryCache,
  commit: string,
  stages: readonly (readonly string[])[],
  onProgress?: OnProgress,
): Promise<void> {
  const missing: string[] = [];
  for (const file of stages.flat()) if (!(await cache.has(commit, file))) missing.push(file);
  const factsOf = new Map<string, FileFacts>();
  await inPairs(hub, missing, async (hub, file) => {
    factsOf.set(file, await orUnreachable(hub, file, fileFacts(hub, commit, file)));
  });
  const facts = [...factsOf.values()];
  await checkSpace(hub, cache, facts);

  const total = facts.reduce((sum, { size }) => sum + size, 0);
  const report = totalProgress(total, onProgress);
  for (const stage of stages) {
    const wanted = stage.flatMap((file) => factsOf.get(file) ?? []);
    await inPairs(hub, wanted, (hub, fact) => fetchFile(hub, cache, commit, fact, report));
  }
}

async function fetchFile(
  hub: Hub,
  cache: RepositoryCache,
  commit: string,
  facts: FileFacts,
  onProgress: OnProgress,
): Promise<void> {
  const { file, size, etag } = facts;
  await withLock(cache.lock(etag), hub.signal, async () => {
    // Another process may have brought the file while this one waited for the lock.
    if (!(await cache.has(commit, file))) {
      const blob = cache.blob(etag);
      const fresh = (await fileSize(blob)) !== size;
      if (fresh) await downloadFile(hub, commit, facts, blob, onProgress);
      await cache.place(commit, file, etag, fresh);
    }
    onProgress({ phase: "download", file, loaded: size, total: size });
  });
}

/** Better said before an hour of downloading than after it. */
async function checkSpace(hub: Hub, cache: RepositoryCache, facts: readonly FileFacts[]): Promise<void> {
  let missing = 0;
  for (const { etag, size } of facts) {
    const blob = cache.blob(etag);
    missing += size - ((await fileSize(blob)) ?? (await fileSize(`${blob}.incomplete`)) ?? 0);
  }
  if (missing <= 0) return;
  const disk = await statfs(await cache.makeFolder());
  const free = disk.bavail * disk.bsize;
  // Some network and in-memory file systems do not say how large they are.
  if (disk.blocks > 0 && free < missing) throw diskFull(hub, cache.folder, missing, { free });
}

/** Turns the progress of single files into progress of them all. */
function totalProgress(total: number, onProgress: OnProgress | undefined): OnProgress {
  const loadedOf = new Map<string, number>();
  let last = Number.NEGATIVE_INFINITY;
  return (progress: Progress) => {
    if (onProgress === undefined) return;
    const { phase, file = "" } = progress;
    if (phase === "download") loadedOf.set(file, progress.loaded);
    const now = performance.now();
    if (now - last < reportMilliseconds && progress.loaded < progress.total) return;
    last = now;
    const loaded = [...loadedOf.values()].reduce((sum, bytes) => sum + bytes, 0);
    onProgress(phase === "download" ? { phase, file, loaded, total } : progress);
  };
}

/** Does `work` for each item, two at a time; the first failure ends what is under way, and is thrown when all is quiet. */
async function inPairs<T>(
  hub: Hub,
  items: readonly T[],
  work: (hub: Hub, item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const stop = new AbortController();
  const abort = (): void => stop.abort(hub.signal?.reason);
  hub.signal?.addEventListener("abort", abort, { once: true });
  if (hub.signal?.aborted) abort();
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      stop.signal.throwIfAborted();
      await work({ ...hub, signal: stop.signal }, item).catch((error: unknown) => {
        // Only the first reason counts: the others are stopped by it.
        stop.abort(error);
      });
    }
  };
  try {
    await Promise.allSettled(Array.from({ length: filesAtOnce }, worker));
    stop.signal.throwIfAborted();
  } finally {
    hub.signal?.removeEventListener("abort", abort);
  }
}
