/** A remote file as blocks: several on their way at a time, a few in memory, all of them kept where a page may. */

import type { KeptFile } from "./kept-files.ts";

/** One block's bytes, from wherever. */
export interface BlockSource {
  readonly size: number;
  readonly kept: KeptFile | undefined;
  /** Bytes `[start, end)` over the network. */
  fetch(start: number, end: number): Promise<Uint8Array>;
  /** Hears of a block from `start` on that was not fetched but kept. */
  onKept(start: number, bytes: number): void;
}

/** Bytes of a block. The last one of a file is shorter. */
export const blockBytes = 2 ** 23;
/** Blocks on their way at the same time: over HTTP/1.1 a browser opens six connections to a server. */
const blocksAtOnce = 6;
/** Blocks in memory that nobody waits for: small tensors lie side by side, and share one. */
const blocksHeld = 2;

/** The blocks of all files of a checkpoint. */
export class Blocks {
  readonly #held = new Map<string, Promise<Uint8Array>>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  /** A file's own face. */
  file(name: string, source: BlockSource): BlockFile {
    return new BlockFile(source, (index) => this.#block(name, source, index));
  }

  clear(): void {
    this.#held.clear();
  }

  /** A block, which is then the newest of those held. */
  #block(name: string, source: BlockSource, index: number): Promise<Uint8Array> {
    const key = `${name} ${index}`;
    let block = this.#held.get(key);
    if (!block) {
      block = this.#load(source, index);
      // A failure is not remembered; whoever waits for the block hears of it, and of one fetched ahead nobody need.
      block.catch(() => this.#held.delete(key));
    }
    this.#held.delete(key);
    this.#held.set(key, block);
    if (this.#held.size > blocksHeld + blocksAtOnce) this.#held.delete(this.#held.keys().next().value!);
    return block;
  }

  async #load({ size, kept, fetch, onKept }: BlockSource, index: number): Promise<Uint8Array> {
    const start = index * blockBytes;
    const end = Math.min(start + blockBytes, size);
    await this.#turn();
    try {
      const found = await kept?.read(index, end - start);
      if (found) {
        onKept(start, found.length);
        return found;
      }
      const bytes = await fetch(start, end);
      await kept?.write(index, bytes);
      return bytes;
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    while (this.#running >= blocksAtOnce) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#running++;
  }
}

/** Reads across blocks. */
export class BlockFile {
  readonly #source: BlockSource;
  readonly #block: (index: number) => Promise<Uint8Array>;
  #lastRead = -2;

  constructor(source: BlockSource, block: (index: number) => Promise<Uint8Array>) {
    this.#source = source;
    this.#block = block;
  }

  /** Bytes `[start, end)`, as a copy. Whoever reads on from where the last read ended finds the next blocks on their way. */
  async read(start: number, end: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - start);
    if (end === start) return bytes;
    const first = Math.floor(start / blockBytes);
    const last = Math.floor((end - 1) / blockBytes);
    const goesOn = first === this.#lastRead || first === this.#lastRead + 1;
    this.#lastRead = last;
    const lastOfFile = Math.floor((this.#source.size - 1) / blockBytes);
    const until = goesOn ? lastOfFile : last;
    for (let index = first; index <= last; index++) {
      const wanted = this.#block(index);
      for (let ahead = index + 1; ahead <= Math.min(index + blocksAtOnce - 1, until); ahead++) {
        void this.#block(ahead).catch(() => undefined);
      }
      const block = await wanted;
      const from = index * blockBytes;
      const part = block.subarray(Math.max(start - from, 0), Math.min(end - from, block.length));
      bytes.set(part, Math.max(from - start, 0));
    }
    return bytes;
  }
}
