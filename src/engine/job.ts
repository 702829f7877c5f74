import type { OnProgress } from "../progress.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { BeamGeneration } from "./beams.ts";
import type { GeneratedSequence, Generation, GenerationLimits } from "./generation.ts";
import type { ResolvedOptions } from "./options.ts";
import type { PagePool } from "./page-pool.ts";
import type { Prompt } from "./prompt.ts";
import type { PromptFeatures } from "./prompt-features.ts";
import { SampledGeneration } from "./sampling.ts";
import { Sequence } from "./sequence.ts";
import { StopTexts } from "./stop-texts.ts";

/** What the engine is asked to do. */
export interface GenerationRequest {
  readonly prompt: Prompt;
  readonly options: ResolvedOptions;
  /** Ends an answer besides `options.stop`: the template's own end. */
  readonly endIds: readonly number[];
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
  /** Called for each new token, with the number of the answer it belongs to. Not called for beams. */
  readonly onToken?: (token: number, index: number) => void;
}

/** Milliseconds from the request on. */
export interface Timings {
  /** Encoding of pictures. */
  readonly encode: number;
  /** Until the first new token was chosen. */
  readonly firstToken: number;
  readonly total: number;
  /** New tokens a second after the first one, over all answers; 0 when there was only one. */
  readonly tokensPerSecond: number;
}

export interface GenerationResult {
  readonly sequences: GeneratedSequence[];
  /** Prompt tokens whose keys and values were there already. */
  readonly cachedTokens: number;
  readonly timings: Timings;
}

/** A request on its way through the engine. */
export class Job {
  readonly request: GenerationRequest;
  readonly generation: Generation;
  readonly features: PromptFeatures;
  readonly result: Promise<GenerationResult>;
  /** The prefix was looked up and the first page taken. */
  started = false;
  cachedTokens = 0;
  encodeMilliseconds = 0;
  readonly #since = performance.now();
  #firstToken = 0;
  #prefilled = false;
  #resolve!: (result: GenerationResult) => void;
  #reject!: (reason: unknown) => void;

  constructor(
    request: GenerationRequest,
    limits: GenerationLimits,
    tokenizer: Tokenizer,
    features: PromptFeatures,
  ) {
    this.request = request;
    this.features = features;
    const { options } = request;
    const prompt = Sequence.of(request.prompt);
    const texts = options.stop.filter((stop) => typeof stop === "string");
    this.generation =
      options.numBeams > 1
        ? new BeamGeneration(prompt, options, limits)
        : new SampledGeneration(prompt, options, limits, {
            watch: () => new StopTexts(tokenizer, texts),
            onToken: request.onToken,
          });
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** All pages its open sequences hold go back. */
  release(pool: PagePool): void {
    for (const sequence of this.generation.open) sequence.release(pool);
  }

  /** Tells how far the prompt is, as long as it is not done. */
  reportPrefill(): void {
    const { prompt, onProgress } = this.request;
    const [sequence] = this.generation.open;
    if (this.#prefilled || !sequence) return;
    const total = prompt.ids.length;
    const loaded = Math.min(sequence.computed, total);
    this.#prefilled = loaded === total;
    onProgress?.({ phase: "prefill", loaded, total });
  }

  noteToken(): void {
    if (this.#firstToken === 0) this.#firstToken = performance.now() - this.#since;
  }

  succeed(): void {
    this.features.release();
    const sequences = this.generation.answers();
    const total = performance.now() - this.#since;
    const later = sequences.reduce((sum, { ids }) => sum + ids.length, 0) - 1;
    const seconds = (total - this.#firstToken) / 1000;
    this.#resolve({
      sequences,
      cachedTokens: this.cachedTokens,
      timings: {
        encode: this.encodeMilliseconds,
        firstToken: this.#firstToken,
        total,
        tokensPerSecond: later > 0 && seconds > 0 ? later / seconds : 0,
      },
    });
  }

  fail(reason: unknown): void {
    this.features.release();
    this.#reject(reason);
  }
}
