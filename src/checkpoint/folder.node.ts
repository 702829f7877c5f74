/** A checkpoint in a folder. */

import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { DisposedError, FileError } from "../errors.ts";
import { type CheckpointFiles, checkName, checkRange } from "./files.ts";
import { loadMapper, type Mapping } from "./map.node.ts";

export interface FolderOptions {
  /** Files of at least so many bytes are memory mapped, where that can be done. Default 1 MiB; `Infinity` for none. */
  mapFrom?: number;
}

export interface FolderFiles extends CheckpointFiles {
  /** Whether large files are memory mapped; else they are read piece by piece. */
  readonly mapped: boolean;
}

interface OpenFile {
  path: string;
  handle: FileHandle;
  size: number;
  mapping: Mapping | undefined;
}

/** The most that one system call reads on Linux and macOS. */
const LARGEST_CALL = 2 ** 30;

/**
 * Opens a folder. Links are followed, for the hub's cache is made of them; names may not lead out of the folder.
 * A file must keep its length while it is open.
 * @throws FileError when there is no such folder.
 */
export async function openFolder(folder: string, options: FolderOptions = {}): Promise<FolderFiles> {
  const found = await stat(folder).catch((cause: NodeJS.ErrnoException) => {
    throw new FileError(folder, `cannot be opened (${cause.code}); give the folder that holds config.json`, {
      cause,
    });
  });
  if (!found.isDirectory())
    throw new FileError(folder, "is not a folder; give the folder that holds config.json");

  const { mapFrom = 2 ** 20 } = options;
  const mapFile = mapFrom === Number.POSITIVE_INFINITY ? undefined : await loadMapper();
  let mapped = mapFile !== undefined;
  let closed = false;
  const files = new Map<string, Promise<OpenFile>>();

  async function openFile(path: string): Promise<OpenFile> {
    const handle = await openRegular(path);
    const { size } = await handle.stat();
    const mapping = size >= Math.max(1, mapFrom) ? mapFile?.(handle.fd, size) : undefined;
    if (size >= Math.max(1, mapFrom) && !mapping) mapped = false;
    return { path, handle, size, mapping };
  }

  async function fileOf(name: string): Promise<OpenFile> {
    if (closed) throw new DisposedError(`${folder}: its files are closed`);
    checkName(name);
    let file = files.get(name);
    if (!file) {
      file = openFile(join(folder, name));
      files.set(name, file);
      // A failure is not remembered: the file may be there next time.
      file.catch(() => files.delete(name));
    }
    return await file;
  }

  return {
    label: folder,
    get mapped() {
      return mapped;
    },
    async has(name) {
      checkName(name);
      const path = join(folder, name);
      try {
        await stat(path);
        return true;
      } catch (cause) {
        const { code } = cause as NodeJS.ErrnoException;
        if (code === "ENOENT" || code === "ENOTDIR") return false;
        throw new FileError(path, `cannot be looked at (${code})`, { cause });
      }
    },
    async size(name) {
      return (await fileOf(name)).size;
    },
    async read(name, start = 0, end) {
      const file = await fileOf(name);
      const stop = end ?? file.size;
      checkRange(file.path, start, stop, file.size);
      // It may have been closed while the file was being opened.
      if (closed) throw new DisposedError(`${folder}: its files are closed`);
      return file.mapping && stop > start
        ? file.mapping.view(start, stop)
        : await readPiece(file, start, stop);
    },
    async close() {
      if (closed) return;
      closed = true;
      for (const opened of await Promise.allSettled(files.values())) {
        if (opened.status !== "fulfilled") continue;
        opened.value.mapping?.release();
        await opened.value.handle.close();
      }
    },
  };
}

/** Without O_NONBLOCK, opening a FIFO would wait for a writer for ever. */
async function openRegular(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch(
    (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === "ENOENT" || cause.code === "ENOTDIR";
      const problem = missing
        ? "is missing; it belongs to the checkpoint"
        : `cannot be opened (${cause.code})`;
      throw new FileError(path, problem, { cause });
    },
  );
  const found = await handle.stat();
  if (found.isFile()) return handle;
  await handle.close();
  throw new FileError(path, "is not a regular file");
}

async function readPiece(file: OpenFile, start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, LARGEST_CALL);
    const { bytesRead } = await file.handle
      .read(bytes, done, length, start + done)
      .catch((cause: NodeJS.ErrnoException) => {
        throw new FileError(file.path, `cannot be read (${cause.code})`, { cause });
      });
    if (bytesRead === 0)
      throw new FileError(
        file.path,
        `ends at byte ${start + done}, ${file.size} were there when it was opened`,
      );
    done += bytesRead;
  }
  return bytes;
}
