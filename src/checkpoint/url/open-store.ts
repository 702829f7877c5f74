import { openCacheStorage } from "./cache-storage.ts";
import { openPrivateFiles } from "./private-files.ts";
import type { PageStore } from "./store.ts";

/**
 * The origin's private file system, or else its Cache Storage; undefined where there is neither: in Node, and in pages
 * that came by plain http from another machine.
 */
export async function openPageStore(): Promise<PageStore | undefined> {
  if (typeof navigator === "undefined") return undefined;
  // Older ones write to it in workers only, and there not in one step.
  const { FileSystemFileHandle: handle } = globalThis as { FileSystemFileHandle?: { prototype: object } };
  if (handle && "createWritable" in handle.prototype) {
    const opened = await openPrivateFiles();
    if (opened) return opened;
  }
  if (typeof caches === "undefined") return undefined;
  return openCacheStorage();
}
