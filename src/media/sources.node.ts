/** Picture files on disk. */

import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { FileError, InternVLError } from "../errors.ts";
import { checkByteLength, type ImageLimits } from "./image.ts";

const problems: Record<string, string> = {
  ENOENT: "there is no such file; check the path",
  ENOTDIR: "there is no such file; check the path",
  EACCES: "this file may not be read; check its permissions",
  EISDIR: "this is a folder; give the path of a picture file",
};

/**
 * @param path a path, or a `file:` address
 * @throws FileError; MediaError beyond `maxBytes`; the signal's reason
 */
export async function readPictureFile(
  path: string,
  signal: AbortSignal | undefined,
  limits: ImageLimits,
): Promise<Uint8Array> {
  try {
    const file = path.startsWith("file:") ? fileURLToPath(path) : path;
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    const status = await stat(file);
    if (status.isDirectory()) throw new FileError(path, problems.EISDIR);
    if (!status.isFile())
      throw new FileError(path, "this is not a regular file; give the path of a picture file");
    checkByteLength(path, status.size, limits);
    return await readFile(file, { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof InternVLError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw new FileError(path, problems[code] ?? `it could not be read (${(cause as Error).message})`, {
      cause,
    });
  }
}
