/** Why a command ends early: Ctrl-C, a signal, or a reader who left. Aborts carry it as their reason. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
  /** What the process exits with. */
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("cancelled");
    this.exitCode = exitCode;
  }
}

/** 128 and the number of the signal, as shells have it; a reader that has seen enough is no failure. */
export const exitCodes = { interrupted: 130, terminated: 143, hungUp: 129, readerLeft: 0 } as const;

/**
 * What Ctrl-C stops: the part at hand (an answer) where there is one, then the whole command, and after that it leaves
 * at once.
 */
export class Interrupts {
  readonly #whole = new AbortController();
  readonly #leave: () => void;
  #part: AbortController | undefined;

  /** @param leave ends the process without waiting for anything */
  constructor(leave: () => void) {
    this.#leave = leave;
  }

  /** Ends the command. */
  get signal(): AbortSignal {
    return this.#whole.signal;
  }

  /** Ctrl-C. */
  interrupt(): void {
    if (this.#whole.signal.aborted) this.#leave();
    else if (this.#part && !this.#part.signal.aborted) this.#part.abort(new Cancelled(exitCodes.interrupted));
    else this.end(new Cancelled(exitCodes.interrupted));
  }

  /** Ends the command; everything under way rejects with the reason. */
  end(reason: Error): void {
    this.#whole.abort(reason);
  }

  /**
   * Does work that the next Ctrl-C ends alone. False when it was ended so; when the command is ended, its reason is
   * thrown.
   */
  async part(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    this.signal.throwIfAborted();
    const part = new AbortController();
    this.#part = part;
    try {
      await work(AbortSignal.any([this.signal, part.signal]));
      return true;
    } catch (error) {
      this.signal.throwIfAborted();
      if (part.signal.aborted && error === part.signal.reason) return false;
      throw error;
    } finally {
      this.#part = undefined;
    }
  }
}
