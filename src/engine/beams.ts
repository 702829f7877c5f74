import type { GeneratedSequence, Generation, GenerationLimits, PickRule } from "./generation.ts";
import { Hypotheses } from "./hypotheses.ts";
import type { ResolvedOptions } from "./options.ts";
import type { PagePool } from "./page-pool.ts";
import type { Sequence } from "./sequence.ts";

/** A way to go on with one of the beams. */
interface Candidate {
  readonly beam: Sequence;
  readonly token: number;
  readonly score: number;
  /** The log-probability of this token alone. */
  readonly step: number;
}

/**
 * Beam search as transformers' `beam_search` and `BeamSearchScorer` do it for a prompt of embeddings (lengths count
 * new tokens only): all beams are extended, the best two times `numBeams` candidates are looked at in order, those that
 * end become hypotheses if they rank among the first `numBeams`, the others go on until there are `numBeams` again.
 */
export class BeamGeneration implements Generation {
  readonly #options: ResolvedOptions;
  readonly #limits: GenerationLimits;
  readonly #hypotheses: Hypotheses;
  readonly #mostNewTokens: number;
  #open: Sequence[];

  constructor(prompt: Sequence, options: ResolvedOptions, limits: GenerationLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#mostNewTokens = Math.min(options.maxNewTokens, limits.mostTokens - prompt.prompt.ids.length);
    this.#hypotheses = new Hypotheses({ ...options, maxNewTokens: this.#mostNewTokens });
    this.#open = [prompt];
  }

  get open(): readonly Sequence[] {
    return this.#open;
  }

  rules(sequence: Sequence): PickRule[] {
    const { repetitionPenalty, minNewTokens } = this.#options;
    const ids = sequence.generated;
    return [
      {
        beams: true,
        temperature: 1,
        topK: 0,
        topP: 1,
        repetitionPenalty,
        draw: 0,
        penalised: repetitionPenalty === 1 ? [] : [...new Set(ids)],
        suppressed: ids.length < minNewTokens ? [...this.#limits.stopIds] : [],
        count: this.#width,
      },
    ];
  }

  /** Which lines go on depends on every choice. */
  ruleAhead(): undefined {
    return undefined;
  }

  advance(pool: PagePool, finished: (sequence: Sequence) => void): void {
    if (this.#open.some(({ picks }) => !picks)) return; // every beam competes: wait for the last
    const candidates = this.#candidates();
    const length = this.#open[0].generated.length + 1;
    const next = this.#choose(candidates, length);
    const parents = this.#open;
    this.#open = next.map(({ beam, token, step }) => {
      const sequence = beam.fork(pool);
      sequence.append(token, step);
      return sequence;
    });
    for (const parent of parents) parent.release(pool);
    const over = this.#hypotheses.complete(candidates[0].score, length);
    if (over) this.#close(finished);
    else if (length >= this.#mostNewTokens) {
      for (const beam of this.#open) {
        this.#hypotheses.add(beam.generated, beam.score, length, "length");
      }
      this.#close(finished);
    }
  }

  answers(): GeneratedSequence[] {
    return this.#hypotheses
      .ranked()
      .slice(0, this.#options.numReturnSequences)
      .map(({ tokens, score, finishReason }) => ({ ids: [...tokens], score, finishReason }));
  }

  /** Candidates looked at in each step: enough that `numBeams` remain however many of them end. */
  get #width(): number {
    const { stopIds, vocabularySize } = this.#limits;
    return Math.min(Math.max(2, 1 + stopIds.size) * this.#options.numBeams, vocabularySize);
  }

  /** The best ways to go on, over all beams; among equals the earlier beam, then its better token, comes first. */
  #candidates(): Candidate[] {
    const all = this.#open.flatMap((beam) => {
      const [pick] = beam.picks!;
      beam.picks = undefined;
      return Array.from(pick.tokens, (token, rank): Candidate => {
        const step = pick.scores[rank];
        return { beam, token, score: beam.score + step, step };
      });
    });
    return all.sort((a, b) => b.score - a.score).slice(0, this.#width);
  }

  /** Splits candidates into hypotheses and the beams that go on. */
  #choose(candidates: readonly Candidate[], length: number): Candidate[] {
    const next: Candidate[] = [];
    candidates.forEach((candidate, rank) => {
      if (next.length === this.#options.numBeams) return;
      if (!this.#limits.stopIds.has(candidate.token)) next.push(candidate);
      else if (rank < this.#options.numBeams) {
        const tokens = [...candidate.beam.generated, candidate.token];
        this.#hypotheses.add(tokens, candidate.score, length, "stop");
      }
    });
    return next;
  }

  #close(finished: (sequence: Sequence) => void): void {
    for (const beam of this.#open) finished(beam);
    this.#open = [];
  }
}
