import type { PagePool } from "./page-pool.ts";
import type { Prompt } from "./prompt.ts";

/** What the device chose for one row of logits: candidates with their log-probabilities. */
export interface Pick {
  readonly tokens: Uint32Array;
  readonly scores: Float32Array;
}

interface Line {
  readonly tokens: readonly number[];
  readonly keys: readonly number[];
  readonly pages: readonly number[];
  readonly computed: number;
  readonly score: number;
}

/** One line of tokens being written: a prompt, what was generated after it, and the pages that hold its keys and values. */
export class Sequence {
  readonly prompt: Prompt;
  readonly tokens: number[];
  readonly keys: number[];
  readonly pages: number[];
  /** Tokens whose keys and values are in the pages. */
  computed: number;
  /** Sum of the log-probabilities of the generated tokens. */
  score: number;
  /** Choices for its next token that were not acted on yet: until then it is not computed further. */
  picks: readonly Pick[] | undefined;

  private constructor(prompt: Prompt, from: Line) {
    this.prompt = prompt;
    this.tokens = from.tokens.slice();
    this.keys = from.keys.slice();
    this.pages = from.pages.slice();
    this.computed = from.computed;
    this.score = from.score;
  }

  static of(prompt: Prompt): Sequence {
    return new Sequence(prompt, { tokens: prompt.ids, keys: prompt.keys, pages: [], computed: 0, score: 0 });
  }

  get generated(): number[] {
    return this.tokens.slice(this.prompt.ids.length);
  }

  append(token: number, score: number): void {
    this.tokens.push(token);
    this.keys.push(token);
    this.score += score;
  }

  /** The length that decides a token's rotary frequencies: the prompt's for its own tokens, the running one after. */
  ropeLength(position: number): number {
    return Math.max(this.prompt.ids.length, position + 1);
  }

  /** A second line that goes on from here; pages are shared until one of the two writes. */
  fork(pool: PagePool): Sequence {
    for (const page of this.pages) pool.hold(page);
    return new Sequence(this.prompt, this);
  }

  release(pool: PagePool): void {
    for (const page of this.pages) pool.letGo(page);
    this.pages.length = 0;
    this.computed = 0;
  }
}
