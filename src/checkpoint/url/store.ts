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
