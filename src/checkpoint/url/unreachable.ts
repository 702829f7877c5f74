import { DownloadError } from "../../errors.ts";
import type { TransientError } from "../hub/retry.ts";
import { shownAddress } from "./address.ts";

/** What to say when the retries are used up. */
export function unreachable(url: URL, error: TransientError, attempts: number): DownloadError {
  const page = (globalThis as { location?: Location }).location;
  const forbids =
    error.status === undefined && page && page.origin !== url.origin
      ? `. If the server is there, ${corsRemedy(page.origin)}`
      : "";
  const problem = `${error.message}; tried ${attempts} times. Check the address and the network, and load again${forbids}`;
  return new DownloadError(shownAddress(url), "unreachable", problem, { cause: error, status: error.status });
}

function corsRemedy(origin: string): string {
  return (
    `it does not let pages of ${origin} read it: let it send Access-Control-Allow-Origin ` +
    "(and Access-Control-Expose-Headers: ETag, Content-Range), or serve the folder beside the page"
  );
}

/**
 * The reason for a failed request when it is one that stays. A browser gives the same TypeError for every reason, on
 * purpose; this asks what it does tell: whether it is offline, and whether the server answers a request whose answer
 * nobody may read.
 */
export async function forbidden(
  url: URL,
  error: TransientError,
  get: typeof fetch,
): Promise<DownloadError | undefined> {
  const page = (globalThis as { location?: Location }).location;
  if (error.status !== undefined || !page) return undefined;
  const failure = (reason: "offline" | "cors", problem: string) =>
    new DownloadError(shownAddress(url), reason, problem, { cause: error });
  if (globalThis.navigator?.onLine === false) {
    return failure("offline", "this device is offline; connect it, and load again");
  }
  if (page.origin === url.origin) return undefined;
  if (await answersBlindly(url, get)) {
    return failure("cors", `its server answers, but ${corsRemedy(page.origin)}`);
  }
  if (page.protocol === "https:" && url.protocol === "http:") {
    return failure("cors", "a page that came by https: may not read http: addresses; give an https: address");
  }
  return undefined;
}

/**
 * Whether anything answers, when the answer is to stay closed: then it is only the page that may not read it. An isolated
 * page may not even ask this.
 */
async function answersBlindly(url: URL, get: typeof fetch): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(5000);
    await get(url, { method: "HEAD", mode: "no-cors", cache: "no-store", signal });
    return true;
  } catch {
    return false;
  }
}
