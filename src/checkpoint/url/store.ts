/** Small files that a page keeps in the browser from one visit to the next, in folders of two names. */
export interface PageStore {
  /** What is there under these names, or nothing. */
  read(path: StorePath): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Bytes of a file; 0 when it is not there. */
  size(path: StorePath): Promise<number>;
  /** All of it or nothing, even when the page is closed in the middle. */
  write(path: StorePath, bytes: Uint8Array): Promise<void>;
  /** Names in a folder, or of the folders themselves. */
  list(folder?: string): Promise<string[]>;
  /** Removes a folder. One that is not there is as good as removed. */
  remove(folder: string): Promise<void>;
}

export type StorePath = readonly [folder: string, file: string];

/** The name of all that is kept, among what else the page keeps. */
export const storeName = "internvl-checkpoints";

/**
 * The origin's private file system, or else its Cache Storage; undefined where there is neither: in Node, and in pages
 * that came by plain http from another machine.
 */
export async function openPageStore(): Promise<PageStore | undefined> {
  if (typeof navigator === "undefined") return undefined;
  // Older ones write to it in workers only, and there not in one step.
  const { FileSystemFileHandle: handle } = globalThis as { FileSystemFileHandle?: { prototype: object } };
  if (handle && "createWritable" in handle.prototype) {
    const { openPrivateFiles } = await import("./private-files.ts");
    const opened = await openPrivateFiles();
    if (opened) return opened;
  }
  if (typeof caches === "undefined") return undefined;
  const { openCacheStorage } = await import("./cache-storage.ts");
  return openCacheStorage();
}
