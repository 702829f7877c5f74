import type { OnProgress } from "../../progress.ts";
import { blockBytes } from "./blocks.ts";
import type { RemoteFacts } from "./server.ts";

/** Of a download of gigabytes is told this often, not half a million times. */
const reportMilliseconds = 50;

/** Bytes of all files of a checkpoint that have come, from the network or from what the browser kept. */
export class DownloadProgress {
  readonly #onProgress: OnProgress | undefined;
  #loaded = 0;
  #total = 0;
  #lastReport = Number.NEGATIVE_INFINITY;

  constructor(onProgress: OnProgress | undefined) {
    this.#onProgress = onProgress;
  }

  /** Counts a file's blocks, each once: one that is fetched a second time brings nothing new. */
  file(name: string, { size, head }: RemoteFacts): { onBytes(start: number): (bytes: number) => void } {
    this.#total += size;
    // Read as blocks, a longer file's first bytes come again.
    if (head.length === size) this.#add(name, size);
    const counted = new Set<number>();
    return {
      onBytes: (start) => {
        const block = start / blockBytes;
        if (counted.has(block)) return () => undefined;
        counted.add(block);
        return (bytes) => this.#add(name, bytes);
      },
    };
  }

  #add(file: string, bytes: number): void {
    this.#loaded += bytes;
    const now = performance.now();
    if (now - this.#lastReport < reportMilliseconds && this.#loaded < this.#total) return;
    this.#lastReport = now;
    this.#onProgress?.({ phase: "download", file, loaded: this.#loaded, total: this.#total });
  }
}
