/** A finished beam. */
export interface Hypothesis {
  /** New tokens, the one that ended it included. */
  readonly tokens: readonly number[];
  /** Log-probability divided by `length ** lengthPenalty`. */
  readonly score: number;
  readonly finishReason: "stop" | "length";
}

/** The best finished beams of one prompt: transformers' `BeamHypotheses`. */
export class Hypotheses {
  readonly #beams: number;
  readonly #lengthPenalty: number;
  readonly #earlyStopping: boolean | "never";
  readonly #mostTokens: number;
  readonly #kept: Hypothesis[] = [];

  constructor(rules: {
    numBeams: number;
    lengthPenalty: number;
    earlyStopping: boolean | "never";
    maxNewTokens: number;
  }) {
    this.#beams = rules.numBeams;
    this.#lengthPenalty = rules.lengthPenalty;
    this.#earlyStopping = rules.earlyStopping;
    this.#mostTokens = rules.maxNewTokens;
  }

  /**
   * Takes a beam in if it is among the best.
   * @param length the tokens that its log-probability covers, the ending one included
   */
  add(
    tokens: readonly number[],
    logProbability: number,
    length: number,
    finishReason: "stop" | "length",
  ): void {
    const score = logProbability / length ** this.#lengthPenalty;
    if (this.#kept.length >= this.#beams && score <= this.#worst()) return;
    this.#kept.push({ tokens, score, finishReason });
    if (this.#kept.length > this.#beams) {
      const worst = this.#worst();
      this.#kept.splice(
        this.#kept.findIndex((kept) => kept.score === worst),
        1,
      );
    }
  }

  /**
   * Whether no open beam can improve on what is kept.
   * @param best the largest log-probability among the open beams, after `length` tokens
   */
  complete(best: number, length: number): boolean {
    if (this.#kept.length < this.#beams) return false;
    if (this.#earlyStopping === true) return true;
    // "never" believes that a beam may still grow, where that would help it; false judges it as long as it is now.
    const reach = this.#earlyStopping === "never" && this.#lengthPenalty > 0 ? this.#mostTokens : length;
    return this.#worst() >= best / reach ** this.#lengthPenalty;
  }

  /** The best first. */
  ranked(): Hypothesis[] {
    return [...this.#kept].sort((a, b) => b.score - a.score);
  }

  #worst(): number {
    return this.#kept.reduce((least, { score }) => Math.min(least, score), Infinity);
  }
}
