import type { Patience } from "./retry.ts";
import { TransientError } from "./retry.ts";

export interface WatchOptions {
  patience: Patience;
  signal: AbortSignal | undefined;
  /** Used in place of the global one: for headers, a proxy, a cache. */
  fetch?: typeof fetch;
}

/** Ends a request when the caller aborts, or when nothing has come for too long, and tells the two apart. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #controller = new AbortController();
  readonly #abort = (): void => this.#controller.abort();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stalled = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    options.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  async fetch(url: URL, init: RequestInit): Promise<Response> {
    const get = this.#options.fetch ?? fetch;
    try {
      this.#wind();
      return await get(url, { ...init, signal: this.#controller.signal });
    } catch (error) {
      throw this.#explain(error, url.host);
    }
  }

  async *chunks(response: Response): AsyncGenerator<Uint8Array> {
    if (response.body === null) return;
    const reader = response.body.getReader();
    for (;;) {
      let next: ReadableStreamReadResult<Uint8Array>;
      try {
        this.#wind();
        next = await reader.read();
      } catch (error) {
        throw this.#explain(error, URL.canParse(response.url) ? new URL(response.url).host : "the server");
      }
      // Writing to a slow disk is not the server's silence.
      clearTimeout(this.#timer);
      if (next.done) return;
      yield next.value;
    }
  }

  /** Also drops a body that nobody read to its end. */
  end(): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#abort);
    this.#controller.abort();
  }

  #wind(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#stalled = true;
      this.#controller.abort();
    }, this.#options.patience.stallMilliseconds);
  }

  #explain(error: unknown, host: string): unknown {
    const { signal, patience } = this.#options;
    if (signal?.aborted) return signal.reason;
    const seconds = patience.stallMilliseconds / 1000;
    if (this.#stalled) return new TransientError(`${host} was silent for ${seconds} s`, { cause: error });
    const { cause, message } = error as Error;
    const why = cause instanceof Error && cause.message !== "" ? cause.message : message;
    return new TransientError(`the connection to ${host} failed: ${why}`, { cause: error });
  }
}
