import type { DeviceTensor, KeyValueCache, Outputs } from "../backend/backend.ts";
import { ContextLengthError, DisposedError, NumericError } from "../errors.ts";
import { noToken } from "../graph/operations.ts";
import type { Network } from "../model/network.ts";
import { createRope, type Rope } from "../model/rope.ts";
import type { OnProgress } from "../progress.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { OneAtATime, TimeSlices } from "../turn.ts";
import { buildBatch } from "./batch.ts";
import { FeatureCache } from "./features.ts";
import { type GenerationRequest, type GenerationResult, Job } from "./job.ts";
import type { FeatureBlock, Prompt } from "./prompt.ts";
import { PromptFeatures } from "./prompt-features.ts";
import { type Pick, Sequence } from "./sequence.ts";
import { SequenceMemory } from "./sequence-memory.ts";
import { missingBlocks, type PlannedEntry, StepPlanner } from "./step-planner.ts";
import { TileEncoder } from "./tile-encoder.ts";

export interface EngineOptions {
  /** Tokens a sequence may have. */
  contextLength: number;
  /** Tokens whose keys and values are kept, over all sequences and earlier prompts. */
  cacheTokens: number;
  /** Tokens a page holds. */
  pageSize: number;
  /** New tokens computed in one step: longer prompts take several, with other sequences' tokens in between. */
  stepTokens: number;
  /** Bytes of image features kept. */
  featureBytes: number;
}

/**
 * Many conversations on one network, one step at a time. A step takes the next tokens of every sequence that can go on,
 * be it one new token or a piece of a long prompt. What a sequence gets does not depend on what runs beside it.
 */
export class Engine {
  readonly #network: Network;
  readonly #tokenizer: Tokenizer;
  readonly #options: EngineOptions;
  readonly #cache: KeyValueCache;
  readonly #memory: SequenceMemory;
  readonly #rope: Rope;
  readonly features: FeatureCache;
  readonly #tiles: TileEncoder;
  readonly #jobs: Job[] = [];
  readonly #planner: StepPlanner;
  #running: Promise<void> | undefined;
  /** A step that was begun ahead, before the choices of the one before it were known. */
  #ahead: Flight | undefined;
  /** Whose turn the device is, when it does one thing at a time. */
  readonly #device = new OneAtATime();
  /** Aborted when the engine is disposed: ends whatever runs. */
  readonly #stop = new AbortController();

  constructor(network: Network, tokenizer: Tokenizer, options: EngineOptions) {
    this.#network = network;
    this.#tokenizer = tokenizer;
    this.#options = options;
    const { rope, headSize } = network.description.language;
    this.#rope = createRope(rope, headSize);
    // One page more than asked for: `SequenceMemory` keeps it free to copy into.
    this.#cache = network.createCache(
      options.pageSize,
      Math.ceil(options.cacheTokens / options.pageSize) + 1,
    );
    this.#memory = new SequenceMemory(this.#cache, this.#rope);
    this.#planner = new StepPlanner(this.#jobs, this.#memory, options.stepTokens);
    this.features = new FeatureCache(options.featureBytes);
    this.#tiles = new TileEncoder(network, this.features, (work) => this.#exclusive(work));
  }

  /** Answers a prompt. Rejects with the signal's reason when cancelled; the engine stays usable. */
  generate(request: GenerationRequest): Promise<GenerationResult> {
    this.#checkUsable();
    request.signal?.throwIfAborted();
    const { options, prompt } = request;
    const lines = Math.max(options.numBeams, options.numReturnSequences);
    const limits = {
      stopIds: new Set([...request.endIds, ...options.stop.filter((stop) => typeof stop === "number")]),
      mostTokens: this.#mostTokens(lines),
      vocabularySize: this.#network.description.language.vocabularySize,
    };
    this.#checkLength(prompt.ids.length, limits.mostTokens - 1);
    const features = new PromptFeatures(prompt, this.features);
    const signal = this.#signal(request.signal);
    const job = new Job({ ...request, signal }, limits, this.#tokenizer, features);
    this.#jobs.push(job);
    this.#running ??= this.#loop();
    return job.result;
  }

  /**
   * The logits after the last token of a prompt.
   * @returns `[vocabularySize]`
   */
  async logits(prompt: Prompt, signal?: AbortSignal): Promise<Float32Array> {
    this.#checkUsable();
    this.#checkLength(prompt.ids.length, this.#mostTokens(1));
    const sequence = Sequence.of(prompt);
    const either = this.#signal(signal);
    const features = new PromptFeatures(prompt, this.features);
    const cache = this.#network.createCache(
      this.#options.pageSize,
      Math.ceil(prompt.ids.length / this.#options.pageSize),
    );
    try {
      await this.#tiles.encode(features.missing(0), features, { signal: either });
      sequence.pages.push(...Array.from({ length: cache.pages }, (_, page) => page));
      for (;;) {
        const count = Math.min(this.#options.stepTokens, prompt.ids.length - sequence.computed);
        const wants = sequence.computed + count === prompt.ids.length ? "logits" : [];
        const batch = buildBatch([{ sequence, features, count, wants }], cache.layout, this.#rope);
        const { logits } = await this.#exclusive(async () => {
          const { outputs } = await this.#network.step(batch.sizes, batch.inputs, cache, { signal: either });
          return outputs;
        });
        sequence.computed += count;
        if (sequence.computed === prompt.ids.length) return logits as Float32Array;
      }
    } finally {
      features.release();
      cache.dispose();
    }
  }

  /** Image features of tiles, `[T * tokensPerTile, hiddenSize]`, a few at a time so that a signal is seen in between. */
  async encodeTiles(tiles: readonly Uint8Array[], signal?: AbortSignal): Promise<Float32Array> {
    this.#checkUsable();
    return this.#tiles.encodeTiles(tiles, this.#signal(signal));
  }

  /** Forgets earlier prompts and pictures. */
  clearCaches(): void {
    this.#memory.clear();
    this.features.clear();
  }

  /** Pages that nobody holds, and all there are: for tests and for servers that watch their memory. */
  get pages(): { free: number; all: number } {
    return { free: this.#memory.availablePages, all: this.#memory.pool.pages };
  }

  async dispose(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(disposed());
    for (const job of [...this.#jobs]) this.#fail(job, this.#stop.signal.reason);
    await this.#running;
    await this.#device.idle;
    this.features.clear();
    this.#cache.dispose();
  }

  /** Takes turns until no job is left: each encodes one tile, or computes one step, or both. */
  async #loop(): Promise<void> {
    const slices = new TimeSlices();
    await Promise.resolve(); // let callers that ask in one go be in the first step together
    while (this.#jobs.length > 0 || this.#ahead) {
      try {
        await this.#turn();
      } catch (reason) {
        // Nobody's request in particular: a device that is gone, say. None may wait for ever.
        for (const job of [...this.#jobs]) this.#fail(job, reason);
      }
      await slices.breathe();
    }
    // At once, not when the promise settles: a request that comes in between would wait for ever.
    this.#running = undefined;
  }

  async #turn(): Promise<void> {
    for (const job of [...this.#jobs]) {
      const { signal } = job.request;
      if (signal?.aborted) this.#fail(job, signal.reason);
    }
    const oldest = this.#jobs[0]; // what comes during this turn has its chance in the next
    this.#planner.startJobs();
    const encoding = await this.#encodeNext();
    const stepped = await this.#step();
    await encoding?.done;
    if (!encoding && !stepped && oldest && oldest === this.#jobs[0]) {
      this.#fail(oldest, new Error("the scheduler found nothing to do"));
    }
  }

  /** Encodes as many tiles as the device takes at once, of the first job that waits for some. Undefined if none does. */
  async #encodeNext(): Promise<{ readonly done: Promise<void> } | undefined> {
    for (const job of this.#jobs) {
      const waiting = job.started ? missingBlocks(job) : [];
      if (waiting.length > 0) return this.#encode(job, waiting);
    }
    return undefined;
  }

  async #encode(job: Job, waiting: readonly FeatureBlock[]): Promise<{ readonly done: Promise<void> }> {
    const some = waiting.slice(0, this.#tiles.atOnce);
    const { signal, onProgress, prompt } = job.request;
    const since = performance.now();
    const report = () => {
      job.encodeMilliseconds += performance.now() - since;
      const total = prompt.blocks.length;
      onProgress?.({ phase: "encode", loaded: total - waiting.length + some.length, total });
    };
    try {
      const encoding = await this.#tiles.begin(some, job.features, { signal, onProgress });
      const done = encoding.done.then(report).catch((reason) => this.#fail(job, reason));
      // Its prompt is begun behind it, without a pause of the device. With others in that step, they would fail with it.
      if (this.#jobs.length > 1 || !this.#network.queues) await done;
      return { done };
    } catch (reason) {
      this.#fail(job, reason);
      return { done: Promise.resolve() };
    }
  }

  /** Computes the next tokens of every job that can go on. False if none can. */
  async #step(): Promise<boolean> {
    const flight = this.#ahead ?? (await this.#launch(this.#planner.plan()));
    this.#ahead = undefined;
    if (!flight) return false;
    this.#ahead = await this.#launch(flight.next ? this.#planner.planAhead(flight.entries) : [], flight.next);
    await this.#land(flight);
    return true;
  }

  /** Begins a step. @param next the ids of its tokens, where only the device knows them yet */
  async #launch(entries: readonly PlannedEntry[], next?: DeviceTensor): Promise<Flight | undefined> {
    if (entries.length === 0) return undefined;
    const jobs = jobsOf(entries);
    // With one job alone, cancelling it ends the step; otherwise the others' work is worth finishing.
    const signal = jobs.length === 1 ? jobs[0].request.signal : this.#stop.signal;
    try {
      const ids = next && { of: next, first: 0, count: entries.length };
      const { sizes, inputs } = buildBatch(entries, this.#cache.layout, this.#rope, ids);
      for (const { sequence, count } of entries) sequence.computed += count;
      const onProgress: OnProgress = (progress) => {
        for (const { request } of jobs) request.onProgress?.(progress);
      };
      const begin = () => this.#network.step(sizes, inputs, this.#cache, { signal, onProgress });
      if (!this.#network.queues) {
        const outputs = this.#exclusive(async () => (await begin()).outputs);
        return { entries, outputs, next: undefined };
      }
      const { outputs, staying } = await begin();
      outputs.catch(() => undefined); // a step begun ahead may fail before anyone waits for it
      return { entries, outputs, next: staying.next };
    } catch (reason) {
      for (const job of jobs) this.#fail(job, reason);
      return undefined;
    }
  }

  /** Waits for a step, and acts on what came out of it. */
  async #land({ entries, outputs, next }: Flight): Promise<void> {
    try {
      this.#handOut(entries, await outputs);
    } catch (reason) {
      for (const job of jobsOf(entries)) this.#fail(job, reason);
    } finally {
      next?.letGo();
    }
    for (const job of jobsOf(entries)) this.#advance(job);
  }

  /** Keeps what was computed of prompts, and gives each sequence what was chosen from its logits. */
  #handOut(entries: readonly PlannedEntry[], chosen: Outputs): void {
    const rows = entries.reduce((sum, { wants }) => sum + wants.length, 0);
    const width = (chosen.tokens?.length ?? 0) / rows;
    let row = 0;
    for (const { job, sequence, wants } of entries) {
      const first = row;
      row += wants.length;
      // It has ended, or was cancelled, while the step was on its way.
      if (!this.#jobs.includes(job) || !job.generation.open.includes(sequence)) continue;
      if (sequence.tokens.length === sequence.prompt.ids.length) this.#memory.keepPrompt(sequence);
      if (wants.length === 0) continue;
      sequence.picks = wants.map(
        ({ count: candidates }, i): Pick => ({
          tokens: chosen.tokens.subarray(
            (first + i) * width,
            (first + i) * width + candidates,
          ) as Uint32Array,
          scores: chosen.scores.subarray(
            (first + i) * width,
            (first + i) * width + candidates,
          ) as Float32Array,
        }),
      );
    }
  }

  /** Lets a job act on what was computed and chosen for it; ends it when it has its answers. */
  #advance(job: Job): void {
    const { generation, request } = job;
    if (!this.#jobs.includes(job)) return;
    try {
      job.reportPrefill();
      const picked = generation.open.flatMap(({ picks }) => picks ?? []);
      if (picked.length === 0) return;
      if (picked.some(({ tokens }) => tokens[0] === noToken)) throw damaged();
      job.noteToken();
      generation.advance(this.#memory.pool, (sequence) => this.#retire(sequence));
    } catch (reason) {
      // Also when a callback of the caller threw: this job fails, the others go on.
      this.#fail(job, reason);
      return;
    }
    if (generation.open.length > 0) return;
    this.#jobs.splice(this.#jobs.indexOf(job), 1);
    if (request.signal?.aborted) job.fail(request.signal.reason);
    else job.succeed();
  }

  #fail(job: Job, reason: unknown): void {
    const at = this.#jobs.indexOf(job);
    if (at < 0) return;
    this.#jobs.splice(at, 1);
    job.release(this.#memory.pool);
    job.fail(reason);
  }

  #retire(sequence: Sequence): void {
    // The last token may be on its way to being computed, in a step that was begun ahead: it does not count yet.
    sequence.computed = Math.min(sequence.computed, sequence.tokens.length - 1);
    this.#memory.retire(sequence);
  }

  /** Where the device orders what it is asked for, nothing need wait for its turn. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#network.queues ? work() : this.#device.enter(work);
  }

  /** The context, or what the cache holds of it when it must hold `lines` sequences. */
  #mostTokens(lines: number): number {
    return Math.min(this.#options.contextLength, this.#memory.mostTokens(lines));
  }

  #checkLength(tokens: number, limit: number): void {
    if (tokens > limit) {
      throw new ContextLengthError(
        tokens,
        limit,
        "ask with fewer or smaller pictures (maxTiles) or a shorter history, or load with a larger contextLength and cacheTokens",
      );
    }
  }

  #checkUsable(): void {
    this.#stop.signal.throwIfAborted();
  }

  /** Aborted when the caller's is, or when the engine is disposed. */
  #signal(callers: AbortSignal | undefined): AbortSignal {
    return callers ? AbortSignal.any([callers, this.#stop.signal]) : this.#stop.signal;
  }
}

/** A step that was begun. */
interface Flight {
  readonly entries: readonly PlannedEntry[];
  readonly outputs: Promise<Outputs>;
  /** On the device, the one token chosen for each entry; undefined where there are others, or none can be had. */
  readonly next: DeviceTensor | undefined;
}

function jobsOf(entries: readonly PlannedEntry[]): Job[] {
  return [...new Set(entries.map(({ job }) => job))];
}

function damaged(): NumericError {
  const remedy = 'the checkpoint may be damaged: verify its hashes, or load it with precision: "f32"';
  return new NumericError(`the logits hold a NaN; ${remedy}`);
}

function disposed(): DisposedError {
  return new DisposedError("this model was disposed: load it again");
}
