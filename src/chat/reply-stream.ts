import type { Reply } from "./reply.ts";

/** A part of an answer, as soon as it is certain. */
export interface Piece {
  readonly text: string;
}

/**
 * An answer on its way. Iterate over it once for its pieces; leaving the loop early cancels it. `reply` is the whole,
 * when it is there. The work begins at once, whether or not anybody iterates.
 */
export class ReplyStream implements AsyncIterable<Piece> {
  readonly reply: Promise<Reply>;
  readonly #queue: Piece[] = [];
  readonly #cancel: (reason: unknown) => void;
  #state: "open" | "done" | { failed: unknown } = "open";
  #wake: (() => void) | undefined;
  #taken = false;

  /** @param work makes the reply, and calls `push` with every piece */
  constructor(work: (push: (text: string) => void) => Promise<Reply>, cancel: (reason: unknown) => void) {
    this.#cancel = cancel;
    this.reply = work((text) => {
      if (text === "") return;
      this.#queue.push({ text });
      this.#wake?.();
    });
    this.reply.then(
      () => this.#end("done"),
      (failed: unknown) => this.#end({ failed }),
    );
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, void, undefined> {
    if (this.#taken) throw new TypeError("a reply can be iterated over once");
    this.#taken = true;
    try {
      for (;;) {
        const piece = this.#queue.shift();
        if (piece) yield piece;
        else if (this.#state === "open") await this.#change();
        else if (this.#state === "done") return;
        else throw this.#state.failed;
      }
    } finally {
      if (this.#state === "open") {
        this.#cancel(new DOMException("the reader of the answer left", "AbortError"));
        await this.reply.catch(() => undefined);
      }
    }
  }

  #end(state: "done" | { failed: unknown }): void {
    this.#state = state;
    this.#wake?.();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
