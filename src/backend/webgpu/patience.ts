import { askSeldom, isAsked } from "./ask-seldom.ts";

/** Milliseconds, and the share of the usual time, that are left when the end is asked for: timers come late by so much. */
const early = { milliseconds: 1, share: 0.1 };
/** By how much more than the least the next run may take before it counts as usual. */
const growth = 1.1;
/** An end within so many milliseconds of being asked for may have come long before. */
const atOnce = 0.2;

/** How long one kind of work takes, as far as that is known: the least lately. */
export class Usual {
  milliseconds: number | undefined;
  #isFirst = true;

  /** Milliseconds after its beginning to ask for the end of it. */
  get sleep(): number {
    const { milliseconds = 0 } = this;
    return milliseconds - Math.max(early.milliseconds, milliseconds * early.share);
  }

  /** @param unseen whether it may have ended long before it was asked for */
  note(took: number, unseen = false): void {
    // The first of its kind can take a hundred times longer than all others.
    if (this.#isFirst) this.#isFirst = false;
    else if (unseen) this.milliseconds = undefined;
    else this.milliseconds = Math.min(took, (this.milliseconds ?? Infinity) * growth);
  }
}

/**
 * Waits for work that a device does piece after piece, and does not ask for the end of a piece before it is near.
 *
 * Even asked seldom, the package `webgpu` takes a share of a processor for as long as a promise is open, for timers alone are
 * too coarse to see an end in time.
 */
export class Patience {
  readonly #sleeps: boolean;
  #last: Promise<unknown> = Promise.resolve();
  #lastEnd = 0;

  /** @param sleeps whether asking costs so much that a timer is better */
  constructor(sleeps = isAsked) {
    this.#sleeps = sleeps;
  }

  /** Resolved with what `ask` gives: the end of a piece of work that was just begun, behind all that came before. */
  end<T>(ask: () => Promise<T>, usual: Usual): Promise<T> {
    if (!this.#sleeps) return ask();
    const ended = this.#wait(ask, usual, performance.now(), this.#last);
    this.#last = ended.catch(() => undefined);
    return ended;
  }

  async #wait<T>(
    ask: () => Promise<T>,
    usual: Usual,
    submitted: number,
    before: Promise<unknown>,
  ): Promise<T> {
    await before;
    const begin = Math.max(submitted, this.#lastEnd);
    const left = Math.floor(begin + usual.sleep - performance.now());
    if (left >= 1) await new Promise((resolve) => setTimeout(resolve, left));
    const asked = performance.now();
    const result = await askSeldom(ask);
    this.#lastEnd = performance.now();
    usual.note(this.#lastEnd - begin, left >= 1 && this.#lastEnd - asked < atOnce);
    return result;
  }
}
