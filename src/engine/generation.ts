import type { PagePool } from "./page-pool.ts";
import type { Sequence } from "./sequence.ts";

/** One answer of a generation. */
export interface GeneratedSequence {
  /** Token ids after the prompt, the one that ended it included. */
  readonly ids: number[];
  /** Sum of log-probabilities, divided by the length to the power of `lengthPenalty`. */
  readonly score: number;
  readonly finishReason: "stop" | "length";
}

/** What the device needs to know to choose the next token of a sequence: one row of `PickTokens`. */
export interface PickRule {
  readonly beams: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly repetitionPenalty: number;
  readonly draw: number;
  readonly penalised: readonly number[];
  readonly suppressed: readonly number[];
  /** Candidates wanted: 1, or for beams twice their number. */
  readonly count: number;
}

/** A prompt being answered, by sampling or by beams. The engine computes its open sequences; it decides how they go on. */
export interface Generation {
  /** Sequences that are not finished. */
  readonly open: readonly Sequence[];
  /** One rule for each token to be chosen from the logits of a sequence. */
  rules(sequence: Sequence): PickRule[];
  /**
   * The rule for the token after the one being chosen for a sequence, when it is the same whatever that will be, and the
   * sequence is long enough for neither; undefined otherwise.
   */
  ruleAhead(sequence: Sequence): PickRule | undefined;
  /** Acts on the `picks` of open sequences: appends tokens, forks, and names each sequence that is complete. */
  advance(pool: PagePool, finished: (sequence: Sequence) => void): void;
  /** The answers, once nothing is open. */
  answers(): GeneratedSequence[];
}

/** What every kind of generation is told. */
export interface GenerationLimits {
  /** Token ids that end an answer. */
  readonly stopIds: ReadonlySet<number>;
  /** The largest number of tokens a sequence may have, prompt included. */
  readonly mostTokens: number;
  readonly vocabularySize: number;
}
