import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { FileError, MediaError } from "../errors.ts";
import type { ClipBytes } from "./video-source.ts";

/**
 * Opens a clip on disk for reading by ranges.
 *
 * @throws FileError when it is not a file that can be read.
 */
export async function openFile(location: string | URL): Promise<ClipBytes> {
  const path = resolve(typeof location === "string" ? location : fileURLToPath(location));
  const handle = await open(path, "r").catch((cause) => {
    throw new FileError(path, `cannot be opened (${cause.code}); check the path and its permissions`, {
      cause,
    });
  });
  const stat = await handle.stat();
  if (!stat.isFile()) {
    await handle.close();
    throw new FileError(path, "is not a regular file; give a video file");
  }
  return {
    name: path,
    path,
    size: stat.size,
    read: async (start, end) => {
      const bytes = new Uint8Array(end - start);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
        if (bytesRead === 0) throw new MediaError(path, "grew shorter while it was read; try again");
        filled += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}
