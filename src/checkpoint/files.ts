/** Where a checkpoint's files come from: a folder, the hub's cache, or files picked in a browser. */

import { DisposedError, FileError } from "../errors.ts";

/** Random access to named files. Names are relative to the checkpoint and use `/`. */
export interface CheckpointFiles {
  /** What to call this checkpoint in messages: a path, a repository. */
  readonly label: string;
  /** Whether there is anything of this name. */
  has(name: string): Promise<boolean>;
  /** @throws FileError when the file is absent or is no regular file. */
  size(name: string): Promise<number>;
  /**
   * Bytes `start` (default 0) up to but without `end` (default the size) of a file. They may be a view of a mapped
   * file: never write to them, and let go of them before `close`.
   * @throws FileError when the file is absent, no regular file, or shorter than `end`.
   */
  read(name: string, start?: number, end?: number): Promise<Uint8Array>;
  /** Reading afterwards throws DisposedError. */
  close(): Promise<void>;
}

/** The largest array of bytes that every supported runtime can make. */
export const LARGEST_READ = 2 ** 32;

/** @throws FileError when a name could lead out of the checkpoint, or is none. */
export function checkName(name: string): void {
  const parts = name.split("/");
  const inside = parts.every((part) => part !== "" && part !== "." && part !== "..");
  if (!inside || /[\\\0:]/.test(name))
    throw new FileError(
      name,
      "is not the name of a file inside the checkpoint; give a relative name without ..",
    );
}

/** @throws FileError when the range does not lie in the file or is too large for one array. */
export function checkRange(file: string, start: number, end: number, size: number): void {
  const whole = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (!whole || start < 0 || end < start || end > size)
    throw new FileError(file, `bytes ${start} to ${end} do not lie in its ${size} bytes`);
  if (end - start > LARGEST_READ)
    throw new FileError(file, `${end - start} bytes are too many for one read; read parts of at most 4 GiB`);
}

/**
 * A checkpoint held as blobs: files that were picked or dropped in a browser, or bytes in memory.
 */
export function openBlobs(label: string, blobs: ReadonlyMap<string, Blob>): CheckpointFiles {
  let closed = false;
  const blobOf = (name: string): Blob => {
    if (closed) throw new DisposedError(`${label}: its files are closed`);
    checkName(name);
    const blob = blobs.get(name);
    if (!blob) throw new FileError(`${label}/${name}`, "is missing; it belongs to the checkpoint");
    return blob;
  };
  return {
    label,
    has: async (name) => blobs.has(name),
    size: async (name) => blobOf(name).size,
    async read(name, start = 0, end) {
      const blob = blobOf(name);
      const stop = end ?? blob.size;
      checkRange(`${label}/${name}`, start, stop, blob.size);
      return new Uint8Array(await blob.slice(start, stop).arrayBuffer());
    },
    async close() {
      closed = true;
    },
  };
}
