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
import { PagePool } from "./page-pool.ts";
import { PrefixCache } from "./prefix-cache.ts";
import type { FeatureBlock, Prompt } from "./prompt.ts";
import { type Pick, Sequence } from "./sequence.ts";

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
  readonly #pool: PagePool;
  readonly #prefixes: PrefixCache;
  readonly #rope: Rope;
  readonly features: FeatureCache;
  readonly #jobs: Job[] = [];
  #running: Promise<void> | undefined;
  /** The device does one thing at a time: each use waits for the one before. */
  #device: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(network: Network, tokenizer: Tokenizer, options: EngineOptions) {
    this.#network = network;
    this.#tokenizer = tokenizer;
    this.#options = options;
    const pages = Math.ceil(options.cacheTokens / options.pageSize);
    this.#cache = network.createCache(options.pageSize, pages);
    this.#pool = new PagePool(pages);
    this.#prefixes = new PrefixCache(this.#pool, options.pageSize);
    const { rope, headSize } = network.description.language;
    this.#rope = createRope(rope, headSize);
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
    const job = new Job(request, limits, this.#tokenizer);
    this.#jobs.push(job);
    this.#running ??= this.#loop().finally(() => {
      this.#running = undefined;
    });
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
    await this.#encode(prompt.blocks, signal);
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
          this.#network.step(batch.sizes, batch.inputs, cache, signal),
        );
        sequence.computed += count;
        if (sequence.computed === prompt.ids.length) return logits as Float32Array;
      }
    } finally {
      cache.dispose();
    }
  }

  /** Image features of tiles, `[T * tokensPerTile, hiddenSize]`, tile by tile so that a signal is seen in between. */
  async encodeTiles(tiles: readonly Uint8Array[], signal?: AbortSignal): Promise<Float32Array> {
    this.#checkUsable();
    const { tiling, language } = this.#network.description;
    const size = tiling.tokensPerTile * language.hiddenSize;
    const features = new Float32Array(tiles.length * size);
    for (const [i, tile] of tiles.entries()) {
      signal?.throwIfAborted();
      features.set(await this.#exclusive(() => this.#network.encode(tile, signal)), i * size);
    }
    return features;
  }

  /** Forgets earlier prompts and pictures. */
  clearCaches(): void {
    this.#prefixes.clear();
    this.features.clear();
  }

  /** Pages that nobody holds, and all there are: for tests and for servers that watch their memory. */
  get pages(): { free: number; all: number } {
    return { free: this.#pool.freePages + this.#prefixes.evictablePages, all: this.#pool.pages };
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const job of [...this.#jobs]) this.#fail(job, disposed());
    await this.#running;
    await this.#device.catch(() => undefined);
    this.#cache.dispose();
  }

  /** Turns until no job is left: each turn encodes one tile, or computes one step, or both. */
  async #loop(): Promise<void> {
    const slices = new TimeSlices();
    await Promise.resolve(); // let callers that ask in one go be in the first step together
    while (this.#jobs.length > 0) {
      for (const job of [...this.#jobs]) {
        if (job.request.signal?.aborted) this.#fail(job, job.request.signal.reason);
      }
      this.#startJobs();
      const encoded = await this.#encodeNext();
      const stepped = await this.#step();
      const stuck = this.#jobs[0];
      if (!encoded && !stepped && stuck) this.#fail(stuck, new Error("the scheduler found nothing to do"));
      await slices.breathe();
    }
  }

  /** Starts jobs in the order they came, as long as there is memory for them. */
  #startJobs(): void {
    for (const job of this.#jobs) {
      if (!job.started && !this.#start(job)) return;
    }
  }

  /** Encodes one tile of the first job that waits for one. False if none does. */
  async #encodeNext(): Promise<boolean> {
    for (const job of this.#jobs) {
      const waiting = job.started ? this.#missingBlocks(job) : [];
      if (waiting.length === 0) continue;
      const { signal, onProgress, prompt } = job.request;
      const since = performance.now();
      try {
        await this.#encode(waiting.slice(0, 1), signal);
        job.encodeMilliseconds += performance.now() - since;
        const total = prompt.blocks.length;
        onProgress?.({ phase: "encode", loaded: total - waiting.length + 1, total });
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
    const signal = jobs.size === 1 ? entries[0].job.request.signal : undefined;
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
        if (!this.#makeRoom(job, sequence, count, entries)) return entries;
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
    for (const { job, sequence, count, wants } of entries) {
      const { onProgress, prompt } = job.request;
      const inPrompt = sequence.computed < prompt.ids.length;
      sequence.computed += count;
      if (inPrompt) {
        this.#keepPrompt(sequence);
        const loaded = Math.min(sequence.computed, prompt.ids.length);
        onProgress?.({ phase: "prefill", loaded, total: prompt.ids.length });
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

  /** Lets a job act on what was chosen for it; ends it when it has its answers. */
  #advance(job: Job): void {
    const { generation, request } = job;
    if (!this.#jobs.includes(job)) return;
    const picked = generation.open.flatMap(({ picks }) => picks ?? []);
    if (picked.length === 0) return;
    if (picked.some(({ tokens }) => tokens[0] === noToken)) {
      const remedy = 'the checkpoint may be damaged; verify its hashes, or load it with precision: "f32"';
      this.#fail(job, new NumericError(`the logits hold a NaN: ${remedy}`));
      return;
    }
    job.noteToken();
    try {
      generation.advance(this.#pool, (sequence) => this.#retire(sequence));
    } catch (reason) {
      // A callback of the caller threw: its own job fails, the others go on.
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
    const { prompt } = job.request;
    const [sequence] = job.generation.open;
    const variant = this.#rope.variant(prompt.ids.length);
    const { pages, partial, tokens } = this.#prefixes.find(variant, prompt.keys, prompt.ids.length - 1);
    const needed = Math.ceil((prompt.ids.length + 1) / this.#options.pageSize) - pages.length;
    const alone = !this.#jobs.some((other) => other.started);
    if (!alone && this.#pool.freePages + this.#prefixes.evictablePages < needed) return false;
    for (const page of pages) this.#pool.hold(page);
    sequence.pages.push(...pages);
    sequence.computed = tokens - (partial?.count ?? 0);
    if (partial) {
      this.#pool.hold(partial.page); // shared until it is written: then `#makeRoom` copies it
      sequence.pages.push(partial.page);
      sequence.computed = tokens;
    }
    job.cachedTokens = tokens;
    job.started = true;
    return true;
  }

  /** Pages for the next `count` tokens of a sequence, its own to write. Takes from the caches, then from younger jobs. */
  #makeRoom(job: Job, sequence: Sequence, count: number, planned: readonly { job: Job }[]): boolean {
    const { pageSize } = this.#options;
    const first = Math.floor(sequence.computed / pageSize);
    const last = Math.floor((sequence.computed + count - 1) / pageSize);
    for (let index = first; index <= last; index++) {
      const shared = sequence.pages[index];
      if (shared !== undefined && this.#pool.holders(shared) === 1) continue;
      const page = this.#takePage(job, planned);
      if (page === undefined) return false;
      if (shared !== undefined) {
        this.#cache.copyPage(shared, page);
        this.#pool.letGo(shared);
      }
      sequence.pages[index] = page;
    }
    return true;
  }

  #takePage(job: Job, planned: readonly { job: Job }[]): number | undefined {
    for (;;) {
      const page = this.#pool.take();
      if (page !== undefined) return page;
      if (this.#prefixes.evict()) continue;
      // The youngest other job gives up its pages and computes its tokens again later.
      const victim = this.#jobs.findLast(
        (other) =>
          other !== job &&
          other.started &&
          !planned.some((entry) => entry.job === other) &&
          holdsPages(other),
      );
      if (!victim || this.#jobs.indexOf(victim) < this.#jobs.indexOf(job)) return undefined;
      victim.release(this.#pool);
    }
  }

  /** What is computed of a prompt serves others at once; its last page only later, since it is still written to. */
  #keepPrompt(sequence: Sequence): void {
    const { pageSize } = this.#options;
    const full = Math.floor(Math.min(sequence.computed, sequence.prompt.ids.length) / pageSize) * pageSize;
    const variant = this.#rope.variant(sequence.prompt.ids.length);
    this.#prefixes.keep(variant, sequence.keys.slice(0, full), sequence.pages);
  }

  /** A sequence that is complete leaves what it computed to later prompts. */
  #retire(sequence: Sequence): void {
    const variant = this.#rope.variant(sequence.prompt.ids.length);
    this.#prefixes.keep(variant, sequence.keys.slice(0, sequence.computed), sequence.pages);
    sequence.release(this.#pool);
  }

  #fail(job: Job, reason: unknown): void {
    const at = this.#jobs.indexOf(job);
    if (at < 0) return;
    this.#jobs.splice(at, 1);
    job.release(this.#pool);
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
    for (const block of blocks) {
      block.values ??= this.features.get(block.identity);
      if (block.values) continue;
      signal?.throwIfAborted();
      block.values = await this.#exclusive(() => this.#network.encode(block.pixels!, signal));
      this.features.keep(block.identity, block.values);
    }
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#device.then(work, work);
    this.#device = turn.catch(() => undefined);
    return turn;
  }

  /** The context, or what the cache holds of it when it must hold `lines` sequences. */
  #mostTokens(lines: number): number {
    const { contextLength, pageSize } = this.#options;
    // Each line may need one page of its own beyond what it shares.
    return Math.min(contextLength, Math.floor(this.#pool.pages / lines) * pageSize);
  }

  #checkLength(tokens: number, limit: number): void {
    if (tokens > limit) {
      throw new ContextLengthError(
        tokens,
        limit,
        "ask with fewer or smaller pictures (maxTiles), a shorter history, or a larger contextLength",
      );
    }
  }

  #checkUsable(): void {
    if (this.#disposed) throw disposed();
  }
}

/** A piece of a step, and whose it is. `wants` is never "logits" here: tokens are chosen on the device. */
interface PlannedEntry extends BatchEntry {
  readonly job: Job;
  readonly wants: readonly PickRule[];
}

function holdsPages(job: Job): boolean {
  return job.generation.open.some(({ pages }) => pages.length > 0);
}

function disposed(): DisposedError {
  return new DisposedError("this model was disposed: load it again");
}
