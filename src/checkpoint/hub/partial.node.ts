import type { Hash } from "node:crypto";
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** The file is read and written in pieces of this size; what the network brings at once is a quarter of it or less. */
const pieceBytes = 1 << 18;

/**
 * `<etag>.incomplete` while it grows, with the hash of everything in it, so that a finished file was read only once:
 * as it came. A file is never whole in memory.
 */
export class PartialFile {
  readonly path: string;
  readonly size: number;
  readonly etag: string;
  readonly #handle: FileHandle;
  #hash: Hash | undefined;
  #offset = 0;
  /** One piece is written while the other is filled. */
  #piece: Uint8Array;
  #spare: Uint8Array;
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();
  #written = 0;

  private constructor(path: string, size: number, etag: string, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.etag = etag;
    this.#handle = handle;
    this.#hash = contentHash(etag, size);
    this.#piece = new Uint8Array(Math.min(pieceBytes, size));
    this.#spare = new Uint8Array(this.#piece.length);
  }

  /** Takes up what an earlier run left, if anything, and hashes it. `onHashed` hears how many bytes are done. */
  static async open(
    path: string,
    expected: { size: number; etag: string },
    signal: AbortSignal | undefined,
    onHashed: (hashed: number, present: number) => void,
  ): Promise<PartialFile> {
    await mkdir(dirname(path), { recursive: true });
    // Not "r+", which wants the file to be there, and not "a+", whose writes all go to the end.
    const handle = await open(path, "a").then(async (made) => {
      await made.close();
      return await open(path, "r+");
    });
    const partial = new PartialFile(path, expected.size, expected.etag, handle);
    try {
      const present = (await handle.stat()).size;
      if (present > expected.size) await partial.restart();
      else await partial.#takeUp(present, signal, onHashed);
      return partial;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** How many bytes have come; the last of them may not be in the file yet. */
  get offset(): number {
    return this.#offset;
  }

  /** How many bytes are in the file. */
  get written(): number {
    return this.#written;
  }

  get complete(): boolean {
    return this.#offset === this.size;
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#hash?.update(chunk);
    for (let taken = 0; taken < chunk.length; ) {
      const part = chunk.subarray(taken, taken + this.#piece.length - this.#filled);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      this.#offset += part.length;
      taken += part.length;
      if (this.#filled === this.#piece.length) await this.#flush();
    }
  }

  /** Throws away what is there. */
  async restart(): Promise<void> {
    await this.#writing;
    await this.#handle.truncate(0);
    this.#written = 0;
    this.#filled = 0;
    this.#offset = 0;
    this.#hash = contentHash(this.etag, this.size);
  }

  /** The hash of the content where the etag is one, to be compared with it; undefined for other etags. Ask once. */
  takeDigest(): string | undefined {
    const digest = this.#hash?.digest("hex");
    this.#hash = undefined;
    return digest;
  }

  /** Gives the finished file its name, after its bytes are safely on the disk. */
  async keepAs(path: string): Promise<void> {
    await this.#flush();
    await this.#writing;
    await this.#handle.sync();
    await rename(this.path, path);
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }

  /** Saves what has come, for the next run; what cannot be saved is asked for again by it. */
  async close(): Promise<void> {
    await this.#flush().catch(() => {});
    await this.#writing.catch(() => {});
    await this.#handle.close();
  }

  /** Begins to write the piece when the one before is written. Once a write has failed there is no other: no holes. */
  async #flush(): Promise<void> {
    await this.#writing;
    const full = this.#piece.subarray(0, this.#filled);
    this.#writing = this.#write(full, this.#offset - this.#filled);
    // The failure is seen by whoever waits for the write next.
    this.#writing.catch(() => {});
    this.#filled = 0;
    [this.#piece, this.#spare] = [this.#spare, this.#piece];
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.length - done;
      done += (await this.#handle.write(bytes, done, left, position + done)).bytesWritten;
      this.#written = position + done;
    }
  }

  async #takeUp(
    present: number,
    signal: AbortSignal | undefined,
    onHashed: (hashed: number, present: number) => void,
  ): Promise<void> {
    const piece = this.#piece;
    while (this.#offset < present) {
      signal?.throwIfAborted();
      const { bytesRead } = await this.#handle.read(piece, 0, piece.length, this.#offset);
      if (bytesRead === 0) break;
      this.#hash?.update(piece.subarray(0, bytesRead));
      this.#offset += bytesRead;
      this.#written = this.#offset;
      onHashed(this.#offset, present);
    }
  }
}

/** The hub's etags: 64 hex digits are the SHA-256 of the bytes (LFS), 40 the SHA-1 of git's blob object. */
function contentHash(etag: string, size: number): Hash | undefined {
  if (/^[0-9a-f]{64}$/.test(etag)) return createHash("sha256");
  if (/^[0-9a-f]{40}$/.test(etag)) return createHash("sha1").update(`blob ${size}\0`);
  return undefined;
}
