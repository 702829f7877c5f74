import { HubError } from "../../errors.ts";
import type { Patience } from "./retry.ts";
import { retryAfter, TransientError } from "./retry.ts";
import { Watch } from "./watch.ts";

/** Which hub is asked, about what, as whom, and how patiently. */
export interface Hub {
  endpoint: string;
  repository: string;
  revision: string;
  token: string | undefined;
  patience: Patience;
  signal: AbortSignal | undefined;
}

export interface Question {
  url: string;
  method?: "GET" | "HEAD";
  /** The first byte wanted; a server that can gives only what follows. */
  from?: number;
  /** Sees every answer on the way, redirects included; true ends the journey there. */
  onAnswer?: (headers: Headers) => boolean;
}

/** A server's answer, whatever its status. `chunks` is its body, watched for stalls. */
export interface Answer {
  status: number;
  headers: Headers;
  chunks: AsyncIterable<Uint8Array>;
}

const mostRedirects = 10;

/**
 * Asks once, follows redirects by hand, and gives the answer to `use`; the connection is closed when `use` is done.
 * The token goes to the endpoint's own origin only: a redirect to a content network carries its right in its address.
 * @throws TransientError when the connection fails or falls silent, or the server answers 408, 429 or 5xx
 * @throws the signal's reason as soon as it is aborted
 */
export async function ask<T>(
  hub: Hub,
  question: Question,
  use: (answer: Answer) => Promise<T> | T,
): Promise<T> {
  hub.signal?.throwIfAborted();
  const watch = new Watch(hub);
  try {
    const response = await follow(hub, question, watch);
    const { status, headers } = response;
    if (status === 408 || status === 429 || status >= 500) {
      const retryMilliseconds = retryAfter(headers.get("retry-after"), Date.now());
      throw new TransientError(`the server answered ${status}`, { status, retryMilliseconds });
    }
    return await use({ status, headers, chunks: watch.chunks(response) });
  } finally {
    watch.end();
  }
}

/** The whole body as text. For short answers. */
export async function readText(answer: Answer): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of answer.chunks) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

async function follow(hub: Hub, question: Question, watch: Watch): Promise<Response> {
  let url = new URL(question.url);
  for (let hop = 0; hop <= mostRedirects; hop++) {
    // Compressed on the way, a file would have another length and other byte offsets.
    const headers: Record<string, string> = { "accept-encoding": "identity", "user-agent": "internvl" };
    if (question.from) headers.range = `bytes=${question.from}-`;
    if (hub.token !== undefined && url.origin === new URL(hub.endpoint).origin) {
      headers.authorization = `Bearer ${hub.token}`;
    }
    const response = await watch.fetch(url, {
      method: question.method ?? "GET",
      headers,
      redirect: "manual",
    });
    const enough = question.onAnswer?.(response.headers) ?? false;
    const location = response.headers.get("location");
    if (enough || response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    if (!URL.canParse(location, url)) {
      throw new HubError(hub.repository, `the server redirects to ${location}, which is no address`);
    }
    url = new URL(location, url);
    if (url.protocol !== "https:" && url.protocol !== "http:") {
      throw new HubError(hub.repository, `the server redirects to ${location}, which is not on the web`);
    }
  }
  throw new HubError(
    hub.repository,
    `the server redirects more than ${mostRedirects} times; check HF_ENDPOINT`,
  );
}
