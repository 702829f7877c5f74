/** Asking a web server for pieces of files (RFC 9110, sections 14 and 15.3.7). */

import { DownloadError, type DownloadFailure } from "../../errors.ts";
import { type Patience, retryAfter, TransientError, withRetries } from "../hub/retry.ts";
import { Watch } from "../hub/watch.ts";
import { shownAddress } from "./address.ts";
import { forbidden, unreachable } from "./unreachable.ts";

/** What is known of a file once its beginning was read. */
export interface RemoteFacts {
  readonly size: number;
  /** The server's name for these bytes, ETag or else Last-Modified; undefined where it has none. */
  readonly version: string | undefined;
  /** The first bytes of the file; all of them where it is short. */
  readonly head: Uint8Array;
}

export interface Server {
  readonly patience: Patience;
  readonly signal: AbortSignal | undefined;
  readonly fetch: typeof fetch;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** How much of a file is read to learn about it: the small ones whole, and most safetensors headers. */
export const headBytes = 2 ** 16;
/** The longest file that a server without ranges may send whole: text, never weights. */
const wholeBytes = 100_000_000;

/**
 * Reads the beginning of a file, and learns its size and version. A file of text may come whole, from a server that
 * knows no ranges; weights may not.
 * @throws DownloadError
 */
export async function openRemote(server: Server, url: URL): Promise<RemoteFacts> {
  const fail = failureOf(url);
  const attempt = () =>
    ask(server, url, { range: [0, headBytes] }, async ({ status, headers, chunks }) => {
      const version = versionOf(headers);
      if (status === 416) {
        // There is no first byte.
        if (sizeIn(headers) === 0) return { size: 0, version, head: new Uint8Array() };
        throw fail(
          "ranges",
          "the server answers 416 to a request for the first bytes; it has to serve byte ranges",
        );
      }
      if (status === 206) {
        const size = sizeIn(headers) ?? (await sizeByHead(server, url));
        const head = await collect(chunks, Math.min(size, headBytes), url);
        checkNotPage(headers, head, url);
        return { size, version, head };
      }
      checkStatus(status, url);
      const announced = Number(headers.get("content-length") ?? 0);
      const weights = url.pathname.endsWith(".safetensors");
      const limit = weights ? headBytes : wholeBytes;
      const head = announced > limit ? undefined : await collectUpTo(chunks, limit);
      checkNotPage(headers, head, url);
      if (head !== undefined) return { size: head.length, version, head };
      throw fail(
        "ranges",
        "the server ignores byte ranges (it answers 200, not 206), and a file of weights is never taken whole; " +
          "serve the folder with a server that knows them (nginx, Caddy, any object store)",
      );
    });
  let first = true;
  return attempts(server, url, async () => {
    try {
      return await attempt();
    } catch (error) {
      // What a second attempt will not change need not be waited for.
      const final = first && error instanceof TransientError && (await forbidden(url, error, server.fetch));
      first = false;
      throw final || error;
    }
  });
}

/**
 * Bytes `[start, end)` of a file that was opened. What came before a connection broke is kept, and the rest asked for.
 * @param onBytes Hears of every piece as it comes.
 * @throws DownloadError
 */
export async function readRemote(
  server: Server,
  url: URL,
  facts: RemoteFacts,
  [start, end]: readonly [number, number],
  onBytes: (count: number) => void,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  let filled = 0;
  let before = 0;
  // A few bytes at a time are no progress.
  const gained = () => {
    const more = filled - before >= headBytes;
    before = filled;
    return more;
  };
  const attempt = () =>
    ask(server, url, { range: [start + filled, end] }, async ({ status, headers, chunks }) => {
      if (status === 200)
        throw failureOf(url)("ranges", "the server has stopped serving byte ranges; load again");
      if (status !== 416) checkStatus(status, url);
      const first = firstIn(headers);
      if (status === 416 || differs(facts, headers)) throw changed(url);
      if (first !== undefined && first !== start + filled) {
        throw failureOf(url)(
          "ranges",
          `the server sends bytes from ${first} on, asked for ${start + filled}`,
        );
      }
      for await (const chunk of chunks) {
        const part = chunk.subarray(0, bytes.length - filled);
        bytes.set(part, filled);
        filled += part.length;
        onBytes(part.length);
        if (part.length < chunk.length) {
          throw failureOf(url)("ranges", `the server sends more than the ${end - start} bytes asked for`);
        }
      }
      if (filled < bytes.length) throw cutShort(url, filled, bytes.length);
    });
  await attempts(server, url, attempt, gained);
  return bytes;
}

async function attempts<T>(
  server: Server,
  url: URL,
  work: () => Promise<T>,
  gained?: () => boolean,
): Promise<T> {
  try {
    return await withRetries(server.patience, server.signal, work, gained);
  } catch (error) {
    if (!(error instanceof TransientError)) throw error;
    throw (await forbidden(url, error, server.fetch)) ?? unreachable(url, error, server.patience.attempts);
  }
}

/** Asks once. Redirects are followed by the platform: a page does not see where they lead. */
async function ask<T>(
  server: Server,
  url: URL,
  { method = "GET", range }: { method?: string; range?: readonly [number, number] },
  use: (answer: Answer) => Promise<T>,
): Promise<T> {
  server.signal?.throwIfAborted();
  const watch = new Watch(server);
  try {
    // A list without */*: servers that answer everything with their start page give that to whoever takes anything.
    const headers: Record<string, string> = {
      accept: "application/octet-stream, application/json, text/plain",
    };
    if (range) headers.range = `bytes=${range[0]}-${range[1] - 1}`;
    // The pieces are kept elsewhere, or not at all; the browser's own cache would hold them a second time.
    const response = await watch.fetch(url, { method, headers, cache: "no-store" });
    const { status } = response;
    if (status === 408 || status === 429 || status >= 500) {
      const retryMilliseconds = retryAfter(response.headers.get("retry-after"), Date.now());
      throw new TransientError(`the server answered ${status}`, { status, retryMilliseconds });
    }
    return await use({ status, headers: response.headers, chunks: watch.chunks(response) });
  } finally {
    watch.end();
  }
}

/** Where a server of another origin does not show Content-Range, Content-Length is still to be seen (Fetch, CORS-safelisted response headers). */
async function sizeByHead(server: Server, url: URL): Promise<number> {
  const length = await ask(server, url, { method: "HEAD" }, async ({ status, headers }) => {
    checkStatus(status, url);
    return headers.get("content-length");
  });
  if (length !== null && /^\d+$/.test(length)) return Number(length);
  throw failureOf(url)(
    "ranges",
    "the server does not say how long the file is: let it send Content-Range, and from another origin " +
      "Access-Control-Expose-Headers: ETag, Content-Range",
  );
}

function checkStatus(status: number, url: URL): void {
  if (status === 200 || status === 206) return;
  const fail = failureOf(url);
  if (status === 404 || status === 410) {
    throw fail("missing", `the server answers ${status}; check that the folder is complete`, status);
  }
  if (status === 401 || status === 403) {
    throw fail(
      "refused",
      `the server answers ${status}; send what gives access through the option fetch`,
      status,
    );
  }
  throw fail("refused", `the server answers ${status}; check the address`, status);
}

/** A login, an error page with status 200, the start page of an application that answers every address. */
function checkNotPage(headers: Headers, head: Uint8Array | undefined, url: URL): void {
  const says = headers.get("content-type")?.startsWith("text/html");
  const begins = /^\s*<(!doctype|html)/i.test(new TextDecoder().decode(head?.subarray(0, 100)));
  if (!says && !begins) return;
  throw failureOf(url)(
    "html",
    "the server sends a web page (HTML) in place of the file; give the address of the folder that holds the files " +
      "themselves (on the Hugging Face hub: …/resolve/main/, not …/tree/main)",
  );
}

async function collect(chunks: AsyncIterable<Uint8Array>, length: number, url: URL): Promise<Uint8Array> {
  const bytes = await collectUpTo(chunks, length);
  if (bytes === undefined) {
    throw failureOf(url)("ranges", `the server sends more than the ${length} bytes asked for`);
  }
  if (bytes.length < length) throw cutShort(url, bytes.length, length);
  return bytes;
}

/** Everything that comes; undefined when that is more than `limit`. */
async function collectUpTo(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    length += chunk.length;
    if (length > limit) return undefined;
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function cutShort(url: URL, got: number, want: number): TransientError {
  return new TransientError(`${url.host} ended its answer after ${got} of ${want} bytes`);
}

function changed(url: URL): DownloadError {
  const problem = "the file on the server is no longer the one that was opened; load the model again";
  return new DownloadError(shownAddress(url), "changed", problem);
}

/** What one answer does not say is not held against it: a proxy may drop headers. */
function differs(facts: RemoteFacts, headers: Headers): boolean {
  const size = sizeIn(headers);
  const version = versionOf(headers);
  if (size !== undefined && size !== facts.size) return true;
  const sameKind = version?.split(":")[0] === facts.version?.split(":")[0];
  return version !== undefined && sameKind && version !== facts.version;
}

/** A weak ETag (W/) is good enough: it stands for the same content. */
function versionOf(headers: Headers): string | undefined {
  const etag = headers.get("etag")?.replace(/^W\//, "").replaceAll('"', "");
  if (etag) return `etag:${etag}`;
  const modified = headers.get("last-modified");
  return modified ? `modified:${modified}` : undefined;
}

/** The whole file's size, as Content-Range says it. */
function sizeIn(headers: Headers): number | undefined {
  const size = headers.get("content-range")?.match(/^bytes .*\/(\d+)$/)?.[1];
  return size === undefined ? undefined : Number(size);
}

function firstIn(headers: Headers): number | undefined {
  const first = headers.get("content-range")?.match(/^bytes (\d+)-/)?.[1];
  return first === undefined ? undefined : Number(first);
}

function failureOf(url: URL) {
  return (reason: DownloadFailure, problem: string, status?: number) =>
    new DownloadError(shownAddress(url), reason, problem, { status });
}
