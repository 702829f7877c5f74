import { dirname } from "node:path";
import { HubError } from "../../errors.ts";
import type { OnProgress } from "../../progress.ts";
import type { FileFacts } from "./listing.ts";
import { fileAddress } from "./listing.ts";
import { PartialFile } from "./partial.node.ts";
import { orUnreachable, refusal } from "./refusal.ts";
import type { Answer, Hub } from "./request.ts";
import { ask } from "./request.ts";
import { TransientError, withRetries } from "./retry.ts";

/** So much new data makes a connection that dropped count as one that worked. */
const gainBytes = 1 << 20;

/**
 * Downloads one file to `blob` by way of `<blob>.incomplete`, which stays where it is when the download is cut short, and
 * is continued by the next. Size and hash are checked before the file gets its name.
 * @param onProgress `download`: bytes of this file; `verify`: bytes hashed of what an earlier run left
 * @throws HubError when the server refuses, cannot be reached, or sends something else than it promised; when the disk is full
 * @throws the reason of `hub.signal` when it is aborted
 */
export async function downloadFile(
  hub: Hub,
  commit: string,
  facts: FileFacts,
  blob: string,
  onProgress?: OnProgress,
): Promise<void> {
  const { file, size } = facts;
  const partial = await PartialFile.open(`${blob}.incomplete`, facts, hub.signal, (loaded, total) =>
    onProgress?.({ phase: "verify", file, loaded, total }),
  );
  const report = (): void => onProgress?.({ phase: "download", file, loaded: partial.offset, total: size });
  try {
    const continued = partial.offset > 0;
    await receive(hub, commit, file, partial, report);
    let digest = partial.takeDigest();
    if (continued && isWrong(digest, facts)) {
      // What the earlier run left may be to blame: begin again, once.
      await partial.restart();
      await receive(hub, commit, file, partial, report);
      digest = partial.takeDigest();
    }
    if (isWrong(digest, facts)) {
      await partial.remove();
      const problem = `its hash is ${digest}, and ${facts.etag} was promised. The file was removed; run it again, and if this repeats, look for a proxy or mirror on the way that changes files`;
      throw new HubError(hub.repository, problem, { file });
    }
    await partial.keepAs(blob);
  } catch (error) {
    throw diskError(error, hub, file, partial);
  } finally {
    await partial.close();
  }
}

function isWrong(digest: string | undefined, facts: FileFacts): boolean {
  return digest !== undefined && digest !== facts.etag;
}

async function receive(
  hub: Hub,
  commit: string,
  file: string,
  partial: PartialFile,
  report: () => void,
): Promise<void> {
  const url = fileAddress(hub, commit, file);
  report();
  let furthest = partial.offset;
  const gained = (): boolean => {
    const gain = partial.offset - furthest >= gainBytes;
    if (gain) furthest = partial.offset;
    return gain;
  };
  const attempt = async (): Promise<void> => {
    if (partial.complete) return;
    await ask(hub, { url, from: partial.offset }, async (answer) => {
      await checkAnswer(hub, file, partial, answer);
      for await (const chunk of answer.chunks) {
        if (partial.offset + chunk.length > partial.size) {
          throw await wrongSize(hub, file, partial, `more than ${partial.size} bytes came`);
        }
        await partial.append(chunk);
        report();
      }
    });
    if (!partial.complete) {
      throw new TransientError(`the connection ended after ${partial.offset} of ${partial.size} bytes`);
    }
  };
  await orUnreachable(hub, file, withRetries(hub.patience, hub.signal, attempt, gained));
}

/** Makes sure that the bytes to come are the file's, from `partial.offset` on; begins again where the server does. */
async function checkAnswer(hub: Hub, file: string, partial: PartialFile, answer: Answer): Promise<void> {
  const { status, headers } = answer;
  if (status === 416) {
    await partial.restart();
    throw new TransientError("the server has nothing more to send");
  }
  if (status !== 200 && status !== 206) throw refusal(hub, status, headers, file);
  if (headers.get("content-type")?.startsWith("text/html")) {
    throw new HubError(
      hub.repository,
      "the server sent a web page in the file's place; check HF_ENDPOINT, and for a sign-in page of the network",
      { file, status },
    );
  }
  if (status === 206) {
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
    if (total !== undefined && total !== "*" && Number(total) !== partial.size) {
      throw await wrongSize(hub, file, partial, `the server has ${total} bytes`);
    }
    if (Number(first) !== partial.offset) {
      await partial.restart();
      throw new TransientError("the server sent another part than was asked for");
    }
    return;
  }
  const length = headers.get("content-encoding") === null ? headers.get("content-length") : null;
  if (length !== null && Number(length) !== partial.size) {
    throw await wrongSize(hub, file, partial, `the server has ${length} bytes`);
  }
  if (partial.offset > 0) await partial.restart();
}

async function wrongSize(hub: Hub, file: string, partial: PartialFile, what: string): Promise<HubError> {
  await partial.remove();
  const problem = `${what} where ${partial.size} were promised. The file was removed; run it again, and if this repeats, look for a proxy or mirror on the way that changes files`;
  return new HubError(hub.repository, problem, { file });
}

function diskError(error: unknown, hub: Hub, file: string, partial: PartialFile): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return diskFull(hub, dirname(partial.path), partial.size - partial.written, { file, cause: error });
}

/** `missing`: how many bytes are still to be written. */
export function diskFull(
  hub: Hub,
  folder: string,
  missing: number,
  details: { file?: string; free?: number } & ErrorOptions,
): HubError {
  const { free, ...rest } = details;
  const have = free === undefined ? "the disk is full" : `only ${gigabytes(free)} are free`;
  return new HubError(
    hub.repository,
    `${gigabytes(missing)} more are needed in ${folder}, and ${have}: free some, or name another place with HF_HUB_CACHE`,
    rest,
  );
}

function gigabytes(bytes: number): string {
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
