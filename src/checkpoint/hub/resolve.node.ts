import { stat } from "node:fs/promises";
import { FileError, HubError, OptionError } from "../../errors.ts";
import { isRepository } from "./names.ts";
import type { PullOptions } from "./pull.node.ts";
import { pull } from "./pull.node.ts";

/**
 * The folder of a checkpoint: `source` itself where it is a folder, or else the cache's copy of the hub repository `Org/Name`.
 * @throws OptionError when it is neither; FileError when it is a file; HubError as `pull`
 */
export async function resolveSource(source: string, options: PullOptions = {}): Promise<string> {
  const found = await stat(source).catch(() => undefined);
  if (found?.isDirectory()) return source;
  if (found !== undefined) {
    throw new FileError(source, "is a file; name the folder of the checkpoint, which holds its config.json");
  }
  if (!isRepository(source)) {
    throw new OptionError(
      "source",
      source,
      "there is no such folder, and it is no hub id of the form Org/Name",
    );
  }
  try {
    return (await pull(source, options)).folder;
  } catch (error) {
    // A folder's name with a typing error looks like a hub id that is not there.
    if (!(error instanceof HubError) || error.file !== undefined) throw error;
    const { status, message } = error;
    throw new HubError(source, `there is no such folder; and as a hub id, ${message}`, {
      status,
      cause: error,
    });
  }
}
