/**
 * Lets the event loop turn once: timers, input and signals get their chance. Browsers delay a `setTimeout` by
 * milliseconds when it nests, a message not.
 */
export function turnOfTheEventLoop(): Promise<void> {
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** How long work may keep the event loop to itself, in milliseconds. */
const slice = 8;

/** Lets the event loop turn whenever a slice of time is over; cheap to call often. */
export class TimeSlices {
  #since = performance.now();

  async breathe(): Promise<void> {
    if (performance.now() - this.#since < slice) return;
    await turnOfTheEventLoop();
    this.#since = performance.now();
  }
}

/** Lets pieces of work in one after another, in the order they came. */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve();

  enter<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Resolved when all that came so far is done. */
  get idle(): Promise<unknown> {
    return this.#last;
  }
}
