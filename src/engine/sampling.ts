import type { GeneratedSequence, Generation, GenerationLimits, PickRule } from "./generation.ts";
import type { ResolvedOptions } from "./options.ts";
import type { PagePool } from "./page-pool.ts";
import { uniform } from "./random.ts";
import type { Sequence } from "./sequence.ts";

/** Says for each new token of an answer whether it completes a text that ends the answer. */
export interface TextWatch {
  push(token: number): boolean;
}

interface Line {
  readonly sequence: Sequence;
  /** Which of the answers this is. */
  readonly index: number;
  readonly watch: TextWatch;
}

/** Greedy or sampled answers: each line goes its own way, the prompt is shared. */
export class SampledGeneration implements Generation {
  readonly #options: ResolvedOptions;
  readonly #limits: GenerationLimits;
  readonly #watch: () => TextWatch;
  readonly #onToken: ((token: number, index: number) => void) | undefined;
  readonly #prompt: Sequence;
  readonly #answers: GeneratedSequence[] = [];
  #lines: Line[] = [];
  #started = false;

  constructor(
    prompt: Sequence,
    options: ResolvedOptions,
    limits: GenerationLimits,
    hooks: { watch: () => TextWatch; onToken?: (token: number, index: number) => void },
  ) {
    this.#prompt = prompt;
    this.#options = options;
    this.#limits = limits;
    this.#watch = hooks.watch;
    this.#onToken = hooks.onToken;
  }

  get open(): readonly Sequence[] {
    return this.#started ? this.#lines.map(({ sequence }) => sequence) : [this.#prompt];
  }

  rules(sequence: Sequence): PickRule[] {
    if (!this.#started) {
      return Array.from({ length: this.#options.numReturnSequences }, (_, index) =>
        this.#rule(sequence, index),
      );
    }
    const line = this.#lines.find((candidate) => candidate.sequence === sequence)!;
    return [this.#rule(sequence, line.index)];
  }

  ruleAhead(sequence: Sequence): PickRule | undefined {
    const { numReturnSequences, repetitionPenalty, maxNewTokens } = this.#options;
    const length = sequence.tokens.length + 1;
    const newTokens = length - sequence.prompt.ids.length;
    if (repetitionPenalty !== 1 || newTokens >= maxNewTokens || length >= this.#limits.mostTokens) {
      return undefined;
    }
    if (!this.#started) return numReturnSequences === 1 ? this.#rule(sequence, 0, newTokens) : undefined;
    const line = this.#lines.find((candidate) => candidate.sequence === sequence);
    return line && this.#rule(sequence, line.index, newTokens);
  }

  advance(pool: PagePool, finished: (sequence: Sequence) => void): void {
    if (!this.#started) this.#start(pool);
    for (const line of [...this.#lines]) this.#advanceLine(line, finished);
  }

  answers(): GeneratedSequence[] {
    return this.#answers;
  }

  /** The prompt's one row of logits gave a token for every line: fork as many. */
  #start(pool: PagePool): void {
    const { picks } = this.#prompt;
    if (!picks) return;
    this.#started = true;
    this.#lines = picks.map((pick, index) => {
      const sequence = index === 0 ? this.#prompt : this.#prompt.fork(pool);
      sequence.picks = [pick];
      return { sequence, index, watch: this.#watch() };
    });
  }

  #advanceLine(line: Line, finished: (sequence: Sequence) => void): void {
    const { sequence, index, watch } = line;
    if (!sequence.picks) return;
    const [pick] = sequence.picks;
    sequence.picks = undefined;
    const token = pick.tokens[0];
    sequence.append(token, pick.scores[0]);
    this.#onToken?.(token, index);
    const ids = sequence.generated;
    const { minNewTokens, maxNewTokens, lengthPenalty } = this.#options;
    const textEnds = watch.push(token) && ids.length >= minNewTokens;
    const stops = this.#limits.stopIds.has(token) || textEnds;
    const full = ids.length >= maxNewTokens || sequence.tokens.length >= this.#limits.mostTokens;
    if (!stops && !full) return;
    this.#answers[index] = {
      ids,
      score: sequence.score / ids.length ** lengthPenalty,
      finishReason: stops ? "stop" : "length",
    };
    this.#lines.splice(this.#lines.indexOf(line), 1);
    finished(sequence);
  }

  /** @param length tokens that will have been generated before */
  #rule(sequence: Sequence, index: number, length = sequence.generated.length): PickRule {
    const o = this.#options;
    return {
      beams: false,
      temperature: o.doSample ? o.temperature : 0,
      topK: o.topK,
      topP: o.topP,
      repetitionPenalty: o.repetitionPenalty,
      draw: o.doSample ? uniform(o.seed, index, length) : 0,
      penalised: o.repetitionPenalty === 1 ? [] : [...new Set(sequence.generated)],
      suppressed: length < o.minNewTokens ? [...this.#limits.stopIds] : [],
      count: 1,
    };
  }
}
