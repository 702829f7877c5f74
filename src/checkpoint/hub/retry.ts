/** How long to try: what a caller may change of it is `patience` of `pull`. */
export interface Patience {
  /** How often a request is tried before it is given up; bytes that arrive begin the count again. */
  attempts: number;
  /** The wait before the second attempt; it doubles each time, up to half a minute. */
  delayMilliseconds: number;
  /** How long a silent connection is waited for. */
  stallMilliseconds: number;
}

/** What may be over in a moment: a dropped connection, a silent or an overloaded server. */
export class TransientError extends Error {
  readonly status: number | undefined;
  /** What `Retry-After` asked for. */
  readonly retryMilliseconds: number | undefined;

  constructor(problem: string, details: { status?: number; retryMilliseconds?: number } & ErrorOptions = {}) {
    super(problem, details);
    this.status = details.status;
    this.retryMilliseconds = details.retryMilliseconds;
  }
}

const longestWait = 30_000;

/**
 * Calls `work` until it succeeds, fails for good, or has failed `attempts` times in a row with TransientError.
 * @param gained whether the last attempt came further than any before: it then does not count
 */
export async function withRetries<T>(
  patience: Patience,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  gained: () => boolean = () => false,
): Promise<T> {
  for (let failures = 0; ; ) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      failures = gained() ? 1 : failures + 1;
      if (failures >= patience.attempts) throw error;
      // Half of the wait is chance, so that many who were dropped together do not come back together.
      const wait = patience.delayMilliseconds * 2 ** (failures - 1) * (0.5 + Math.random() / 2);
      await sleep(Math.min(Math.max(wait, error.retryMilliseconds ?? 0), longestWait), signal);
    }
  }
}

/** Waits, and rejects with the signal's reason as soon as it is aborted. */
export function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** The milliseconds of a `Retry-After` header (seconds or a date); undefined where there is none. */
export function retryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
