import type { KeyValueCache } from "../backend/backend.ts";
import { ContextLengthError, DisposedError, NumericError } from "../errors.ts";
import { noToken } from "../graph/operations.ts";
import type { Network } from "../model/network.ts";
import { createRope, type Rope } from "../model/rope.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { TimeSlices } from "../turn.ts";
import { type BatchEntry, buildBatch } from "./batch.ts";
import { FeatureCache } from "./features.ts";
import type { PickRule } from "./generation.ts";
import { type GenerationRequest, type GenerationResult, Job } from "./job.ts";
import type { FeatureBlock, Prompt } from "./prompt.ts";
import { type Pick, Sequence } from "./sequence.ts";
import { SequenceMemory } from "./sequence-memory.ts";

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
  readonly #jobs: Job[] = [];
  #running: Promise<void> | undefined;
  /** The device does one thing at a time: each use waits for the one before. */
  #device: Promise<unknown> = Promise.resolve();
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
    this.features = new FeatureCache(options.featureBytes);
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
    const job = new Job({ ...request, signal: this.#signal(request.signal) }, limits, this.#tokenizer);
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
    const { hiddenSize } = this.#network.description.language;
    const sequence = Sequence.of(prompt);
    const either = this.#signal(signal);
    await this.#encode(prompt.blocks, either);
    const cache = this.#network.createCache(
      this.#options.pageSize,
      Math.ceil(prompt.ids.length / this.#options.pageSize),
    );
    try {
      sequence.pages.push(...Array.from({ length: cache.pages }, (_, page) => page));
      for (;;) {
        const count = Math.min(this.#options.stepTokens, prompt.ids.length - sequence.computed);
        const wants = sequence.computed + count === prompt.ids.length ? "logits" : [];
        const batch = buildBatch([{ sequence, count, wants }], cache.layout, this.#rope, hiddenSize);
        const { logits } = await this.#exclusive(() =>
          this.#network.step(batch.sizes, batch.inputs, cache, either),
        );
        sequence.computed += count;
        if (sequence.computed === prompt.ids.length) return logits as Float32Array;
      }
    } finally {
      cache.dispose();
    }
  }

  /** Image features of tiles, `[T * tokensPerTile, hiddenSize]`, a few at a time so that a signal is seen in between. */
  async encodeTiles(tiles: readonly Uint8Array[], signal?: AbortSignal): Promise<Float32Array> {
    this.#checkUsable();
    const { tiling, language } = this.#network.description;
    const size = tiling.tokensPerTile * language.hiddenSize;
    const features = new Float32Array(tiles.length * size);
    const either = this.#signal(signal);
    const some = this.#network.tilesAtOnce;
    for (let first = 0; first < tiles.length; first += some) {
      either.throwIfAborted();
      features.set(await this.#encodePixels(tiles.slice(first, first + some), either), first * size);
    }
    return features;
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
    await this.#device.catch(() => undefined);
    this.#cache.dispose();
  }

  /** Takes turns until no job is left: each encodes one tile, or computes one step, or both. */
  async #loop(): Promise<void> {
    const slices = new TimeSlices();
    await Promise.resolve(); // let callers that ask in one go be in the first step together
    while (this.#jobs.length > 0) {
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
    this.#startJobs();
    const encoded = await this.#encodeNext();
    const stepped = await this.#step();
    if (!encoded && !stepped && oldest && oldest === this.#jobs[0]) {
      this.#fail(oldest, new Error("the scheduler found nothing to do"));
    }
  }

  /** Starts jobs in the order they came, as long as there is memory for them. */
  #startJobs(): void {
    for (const job of this.#jobs) {
      if (!job.started && !this.#start(job)) return;
    }
  }

  /** Encodes as many tiles as the device takes at once, of the first job that waits for some. False if none does. */
  async #encodeNext(): Promise<boolean> {
    for (const job of this.#jobs) {
      const waiting = job.started ? this.#missingBlocks(job) : [];
      if (waiting.length === 0) continue;
      const { signal, onProgress, prompt } = job.request;
      const since = performance.now();
      try {
        const some = waiting.slice(0, this.#network.tilesAtOnce);
        await this.#encode(some, signal);
        job.encodeMilliseconds += performance.now() - since;
        const total = prompt.blocks.length;
        onProgress?.({ phase: "encode", loaded: total - waiting.length + some.length, total });
      } catch (reason) {
        this.#fail(job, reason);
      }
      return true;
    }
    return false;
  }

  /** Computes the next tokens of every job that can go on. False if none can. */
  async #step(): Promise<boolean> {
    const entries = this.#plan();
    if (entries.length === 0) return false;
    const jobs = new Set(entries.map(({ job }) => job));
    // With one job alone, cancelling it ends the step; otherwise the others' work is worth finishing.
    const signal = jobs.size === 1 ? entries[0].job.request.signal : this.#stop.signal;
    const { hiddenSize } = this.#network.description.language;
    try {
      const batch = buildBatch(entries, this.#cache.layout, this.#rope, hiddenSize);
      const chosen = await this.#exclusive(() =>
        this.#network.step(batch.sizes, batch.inputs, this.#cache, signal),
      );
      this.#handOut(entries, chosen);
    } catch (reason) {
      for (const job of jobs) this.#fail(job, reason);
    }
    for (const job of jobs) this.#advance(job);
    return true;
  }

  /** Which tokens the next step computes: all that can, up to `stepTokens`, oldest jobs first. */
  #plan(): PlannedEntry[] {
    const entries: PlannedEntry[] = [];
    let room = this.#options.stepTokens;
    for (const job of [...this.#jobs]) {
      if (!job.started || this.#missingBlocks(job).length > 0) continue;
      for (const sequence of job.generation.open) {
        const left = sequence.tokens.length - sequence.computed;
        const count = Math.min(left, room);
        if (sequence.picks || count === 0) continue;
        if (!this.#memory.makeRoom(sequence, count, () => this.#preempt(job, entries))) return entries;
        const wants = count === left ? job.generation.rules(sequence) : [];
        entries.push({ job, sequence, count, wants });
        room -= count;
      }
    }
    return entries;
  }

  /** Gives each sequence its computed tokens and, at its end, what was chosen from its logits. */
  #handOut(entries: readonly PlannedEntry[], chosen: Record<string, Float32Array | Uint32Array>): void {
    const rows = entries.reduce((sum, { wants }) => sum + wants.length, 0);
    const width = (chosen.tokens?.length ?? 0) / rows;
    let row = 0;
    for (const { sequence, count, wants } of entries) {
      if (sequence.computed < sequence.prompt.ids.length) {
        sequence.computed += count;
        this.#memory.keepPrompt(sequence);
      } else {
        sequence.computed += count;
      }
      if (wants.length === 0) continue;
      sequence.picks = wants.map(
        ({ count: candidates }): Pick => ({
          tokens: chosen.tokens.subarray(row * width, row * width + candidates) as Uint32Array,
          scores: chosen.scores.subarray(row * width, row++ * width + candidates) as Float32Array,
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
      generation.advance(this.#memory.pool, (sequence) => this.#memory.retire(sequence));
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

  /** Looks up what of the prompt is there already. False while there is no memory for the rest beside those running. */
  #start(job: Job): boolean {
    const alone = !this.#jobs.some((other) => other.started);
    const found = this.#memory.start(job.generation.open[0], alone);
    if (found === undefined) return false;
    job.cachedTokens = found;
    job.started = true;
    return true;
  }

  /**
   * Takes the pages of the youngest job that came after `job` and is not part of the step at hand; it computes its
   * tokens again later. False if there is none.
   */
  #preempt(job: Job, planned: readonly PlannedEntry[]): boolean {
    const victim = this.#jobs
      .slice(this.#jobs.indexOf(job) + 1)
      .findLast((other) => holdsPages(other) && !planned.some((entry) => entry.job === other));
    victim?.release(this.#memory.pool);
    return victim !== undefined;
  }

  #fail(job: Job, reason: unknown): void {
    const at = this.#jobs.indexOf(job);
    if (at < 0) return;
    this.#jobs.splice(at, 1);
    job.release(this.#memory.pool);
    job.fail(reason);
  }

  /** The pictures of a prompt that are still to be computed and not covered by its cached prefix. */
  #missingBlocks(job: Job): FeatureBlock[] {
    const { prompt } = job.request;
    if (prompt.blocks.length === 0) return [];
    const computed = Math.min(...job.generation.open.map((sequence) => sequence.computed));
    return prompt.blocksBetween(computed, prompt.ids.length).filter((block) => {
      block.values ??= this.features.get(block.identity);
      return !block.values;
    });
  }

  async #encode(blocks: readonly FeatureBlock[], signal: AbortSignal | undefined): Promise<void> {
    const missing = blocks.filter((block) => {
      block.values ??= this.features.get(block.identity);
      return !block.values;
    });
    const some = this.#network.tilesAtOnce;
    for (let first = 0; first < missing.length; first += some) {
      signal?.throwIfAborted();
      const together = missing.slice(first, first + some);
      const values = await this.#encodePixels(
        together.map(({ pixels }) => pixels!),
        signal,
      );
      const size = values.length / together.length;
      for (const [i, block] of together.entries()) {
        block.values = together.length > 1 ? values.slice(i * size, (i + 1) * size) : values;
        this.features.keep(block.identity, block.values);
      }
    }
  }

  #encodePixels(tiles: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<Float32Array> {
    return this.#exclusive(() => this.#network.encode(joined(tiles), signal));
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#device.then(work, work);
    this.#device = turn.catch(() => undefined);
    return turn;
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

/** A piece of a step, and whose it is. `wants` is never "logits" here: tokens are chosen on the device. */
interface PlannedEntry extends BatchEntry {
  readonly job: Job;
  readonly wants: readonly PickRule[];
}

/** Tiles one behind the other. */
function joined(tiles: readonly Uint8Array[]): Uint8Array {
  if (tiles.length === 1) return tiles[0];
  const all = new Uint8Array(tiles.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const tile of tiles) {
    all.set(tile, at);
    at += tile.length;
  }
  return all;
}

function holdsPages(job: Job): boolean {
  return job.generation.open.some(({ pages }) => pages.length > 0);
}

function damaged(): NumericError {
  const remedy = 'the checkpoint may be damaged: verify its hashes, or load it with precision: "f32"';
  return new NumericError(`the logits hold a NaN; ${remedy}`);
}

function disposed(): DisposedError {
  return new DisposedError("this model was disposed: load it again");
}
