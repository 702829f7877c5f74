import { HubError } from "../../errors.ts";
import { isCommit, isSafePath } from "./names.ts";
import { refusal } from "./refusal.ts";
import type { Hub } from "./request.ts";
import { ask, readText } from "./request.ts";
import { withRetries } from "./retry.ts";

/** The files of one commit. */
export interface Listing {
  commit: string;
  files: ReadonlySet<string>;
}

/** What the hub knows of a file before it is sent. */
export interface FileFacts {
  file: string;
  /** Bytes. */
  size: number;
  /** The name of its blob: the file's SHA-256 (stored by LFS), or its git blob SHA-1. */
  etag: string;
}

/** Which commit the revision is, and what it holds: `GET /api/models/{repository}/revision/{revision}`. */
export async function listRepository(hub: Hub): Promise<Listing> {
  const revision = encodeURIComponent(hub.revision);
  const url = `${hub.endpoint}/api/models/${hub.repository}/revision/${revision}`;
  const text = await withRetries(hub.patience, hub.signal, () =>
    ask(hub, { url }, (answer) => {
      if (answer.status !== 200) throw refusal(hub, answer.status, answer.headers);
      return readText(answer);
    }),
  );
  return parseListing(hub, text);
}

/** @throws HubError when `text` is not a listing; names that lead out of a folder are left out */
export function parseListing(hub: Pick<Hub, "endpoint" | "repository">, text: string): Listing {
  const problem = `what ${hub.endpoint} sent is no listing of a repository; check HF_ENDPOINT, and for a sign-in page of the network`;
  let listing: { sha?: unknown; siblings?: unknown } | null;
  try {
    listing = JSON.parse(text) as typeof listing;
  } catch (cause) {
    throw new HubError(hub.repository, problem, { cause });
  }
  const commit = listing?.sha;
  const siblings = listing?.siblings;
  if (typeof commit !== "string" || !isCommit(commit) || !Array.isArray(siblings)) {
    throw new HubError(hub.repository, problem);
  }
  const files = siblings.map((sibling: { rfilename?: unknown } | null) => sibling?.rfilename);
  const safe = (file: unknown): file is string => typeof file === "string" && isSafePath(file);
  return { commit, files: new Set(files.filter(safe)) };
}

/** The address of a file at a commit. */
export function fileAddress(hub: Hub, commit: string, file: string): string {
  const path = file.split("/").map(encodeURIComponent).join("/");
  return `${hub.endpoint}/${hub.repository}/resolve/${commit}/${path}`;
}

/**
 * The size and etag of a file: a HEAD request. A file stored by LFS answers with a redirect to the content network, which
 * carries them as `X-Linked-Size` and `X-Linked-Etag`; a small file answers itself.
 */
export async function fileFacts(hub: Hub, commit: string, file: string): Promise<FileFacts> {
  let linkedSize: string | null = null;
  let linkedEtag: string | null = null;
  let servedCommit: string | null = null;
  const onAnswer = (headers: Headers): boolean => {
    linkedSize ??= headers.get("x-linked-size");
    linkedEtag ??= headers.get("x-linked-etag");
    servedCommit ??= headers.get("x-repo-commit");
    return linkedSize !== null && linkedEtag !== null;
  };
  const question = { url: fileAddress(hub, commit, file), method: "HEAD", onAnswer } as const;
  const own = await withRetries(hub.patience, hub.signal, () =>
    ask(hub, question, ({ status, headers }) => {
      if (status >= 400) throw refusal(hub, status, headers, file);
      return { size: headers.get("content-length"), etag: headers.get("etag") };
    }),
  );
  if (servedCommit !== null && servedCommit !== commit) {
    throw new HubError(
      hub.repository,
      `the server has commit ${servedCommit} where ${commit} was asked for`,
      {
        file,
      },
    );
  }
  const size = Number(linkedSize ?? own.size ?? Number.NaN);
  const etag = (linkedEtag ?? own.etag ?? "").replace(/^W\//, "").replace(/^"(.*)"$/, "$1");
  // The etag becomes a file name in the cache.
  if (!Number.isSafeInteger(size) || size < 0 || !/^[\w-]+$/.test(etag)) {
    throw new HubError(
      hub.repository,
      `${hub.endpoint} does not say the file's size and etag; check HF_ENDPOINT, and for a sign-in page of the network`,
      { file },
    );
  }
  return { file, size, etag };
}
