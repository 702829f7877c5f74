import { featureBytes, pageSize } from "../chat/load.ts";
import type { ModelDescription } from "../checkpoint/description.ts";
import type { Engine, EngineOptions } from "../engine/engine.ts";
import { resolveOptions } from "../engine/options.ts";
import { type FeatureBlock, Prompt } from "../engine/prompt.ts";
import type { OnProgress } from "../progress.ts";
import type { MeasuredBackend, Run } from "./measured-backend.ts";
import type { ResolvedBenchmarkOptions } from "./options.ts";

/** As a loaded model has them, but with a cache no larger than what is needed. */
export interface EngineSizes extends EngineOptions {
  /** Tokens of one prompt. */
  readonly promptTokens: number;
}

export function engineSizes(
  { tiling, language }: ModelDescription,
  { tiles, promptTokens, newTokens, batch }: ResolvedBenchmarkOptions,
  stepTokens: number,
): EngineSizes {
  const tokens = tiles * tiling.tokensPerTile + promptTokens;
  // The first to decode go on while the others' prompts are still being read.
  const waiting = batch === 1 ? 0 : stepsToRead(tokens, batch, stepTokens);
  const each = tokens + newTokens + waiting + 2;
  return {
    contextLength: Math.max(language.contextLength, each),
    cacheTokens: batch * (Math.ceil(each / pageSize) + 1) * pageSize,
    pageSize,
    stepTokens,
    featureBytes,
    promptTokens: tokens,
  };
}

/** Steps until `batch` prompts of so many tokens are read, at most, when those that are through decode meanwhile. */
function stepsToRead(tokens: number, batch: number, stepTokens: number): number {
  return Math.ceil((batch * tokens) / (stepTokens - batch)) + 2 * batch;
}

/** One repeat: what ran, and when. */
export interface Repeat {
  readonly vision: readonly Run[];
  /** The steps that read the prompt of one conversation alone; the last also gave its first token. */
  readonly prefill: readonly Run[];
  readonly prefillMilliseconds: number;
  readonly firstTokenMilliseconds: number;
  /** Steps in which every conversation got one new token, and what each took from the end of the one before. */
  readonly decode: readonly DecodeStep[];
}

export interface DecodeStep {
  readonly run: Run;
  /** The whole step, without what the measuring itself took. */
  readonly milliseconds: number;
  /**
   * For which the device did not work on it: the engine, inputs and outputs, the crossing to the native code and back,
   * as far as they are not hidden behind the step before.
   */
  readonly hostMilliseconds: number;
}

/** Plays conversations about a made-up picture through an engine. */
export class Conversations {
  readonly #engine: Engine;
  readonly #backend: MeasuredBackend;
  readonly #description: ModelDescription;
  readonly #options: ResolvedBenchmarkOptions;
  readonly #random = randomNumbers(20240704);

  constructor(
    engine: Engine,
    backend: MeasuredBackend,
    description: ModelDescription,
    options: ResolvedBenchmarkOptions,
  ) {
    this.#engine = engine;
    this.#backend = backend;
    this.#description = description;
    this.#options = options;
  }

  /**
   * Starts threads and touches the weights, so that the first repeat does not pay for it. A graphics card makes a program
   * for each new size, and its clocks are down at rest: there it is a whole repeat, which is given.
   */
  async warmUp(signal?: AbortSignal, onProgress?: OnProgress): Promise<Repeat | undefined> {
    if (this.#backend.name === "webgpu") return this.repeat(signal, onProgress);
    await this.#generate(this.#prompt(0, [], 4), 2, { signal });
    this.#backend.takeRuns();
    return undefined;
  }

  async repeat(signal?: AbortSignal, onProgress?: OnProgress): Promise<Repeat> {
    const { tiles, batch, newTokens, promptTokens } = this.#options;
    this.#engine.clearCaches();
    const blocks = Array.from({ length: tiles }, () => this.#tile());
    const first = this.#prompt(0, blocks, promptTokens);
    const alone = batch === 1;
    const { timings } = await this.#generate(first, alone ? newTokens + 1 : 1, { signal, onProgress });
    const runs = this.#backend.takeRuns();
    const vision = runs.filter(({ graph }) => graph.name === "vision");
    const steps = runs.filter(({ graph }) => graph.name === "language");
    const firstToken = steps.findIndex(({ graph }) => graph.outputs.size > 0);
    const decode = alone
      ? decodeSteps(steps.slice(firstToken))
      : await this.#together(first, blocks, signal, onProgress);
    return {
      vision,
      prefill: steps.slice(0, firstToken + 1),
      prefillMilliseconds: timings.firstToken - timings.encode,
      firstTokenMilliseconds: timings.firstToken,
      decode,
    };
  }

  /**
   * All conversations at once, each with a prompt that it shares with no other, though they look at the same picture.
   * Ended when there were enough steps in which all decode.
   */
  async #together(
    first: Prompt,
    blocks: FeatureBlock[],
    signal?: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<DecodeStep[]> {
    const { batch, newTokens, promptTokens } = this.#options;
    const done = new AbortController();
    const enough = new Error("enough steps were measured");
    const steps: Run[] = [];
    this.#backend.onRun = (run) => {
      if (sequencesOf(run) === batch && tokensOf(run) === batch) steps.push(run);
      if (steps.length === newTokens + 1) done.abort(enough);
    };
    const either = signal ? AbortSignal.any([signal, done.signal]) : done.signal;
    const others = Array.from({ length: batch - 1 }, (_, i) => this.#prompt(i + 1, blocks, promptTokens));
    const each = newTokens + stepsToRead(first.ids.length, batch, this.#backend.tokensAtOnce) + 2;
    try {
      const outcomes = await Promise.allSettled(
        [first, ...others].map((prompt, i) =>
          this.#generate(prompt, each, {
            signal: either,
            onProgress: i === batch - 1 ? onProgress : undefined,
          }),
        ),
      );
      for (const outcome of outcomes) {
        if (outcome.status === "rejected" && outcome.reason !== enough) throw outcome.reason;
      }
    } finally {
      this.#backend.onRun = undefined;
      this.#backend.takeRuns();
    }
    return decodeSteps(steps);
  }

  #generate(prompt: Prompt, maxNewTokens: number, hooks: { signal?: AbortSignal; onProgress?: OnProgress }) {
    const options = resolveOptions({ maxNewTokens }, this.#description.language.vocabularySize);
    return this.#engine.generate({ prompt, options, endIds: [], ...hooks });
  }

  /** A token of its own, the picture, and words; prompts of different numbers share no beginning. */
  #prompt(number: number, blocks: FeatureBlock[], textTokens: number): Prompt {
    const imageToken = this.#description.language.vocabularySize - 1;
    const word = () => Math.floor(this.#random() * (imageToken - 512)) + 512;
    const picture = blocks.flatMap(({ rows }) => Array<number>(rows).fill(imageToken));
    const words = Array.from({ length: textTokens - 1 }, word);
    return new Prompt([number, ...picture, ...words], imageToken, blocks);
  }

  #tile(): FeatureBlock {
    const { tileSize, tokensPerTile } = this.#description.tiling;
    const pixels = new Uint8Array(tileSize ** 2 * 3);
    // Uint8Array.from would leave a hundred times as much garbage, to be collected while the answer is measured.
    for (let i = 0; i < pixels.length; i++) pixels[i] = this.#random() * 256;
    return { rows: tokensPerTile, identity: this.#engine.features.newIdentity(), pixels };
  }
}

/** What each run but the first took, counted from the end of the one before. */
function decodeSteps(runs: readonly Run[]): DecodeStep[] {
  return runs.slice(1).map((run, i) => {
    const milliseconds = run.end - runs[i].handedOver;
    const device = run.deviceMilliseconds ?? Math.min(milliseconds, run.end - run.begin);
    return { run, milliseconds, hostMilliseconds: milliseconds - device };
  });
}

function tokensOf({ graph }: Run): number {
  return graph.inputs.get("ids")?.rows ?? 0;
}

function sequencesOf({ graph }: Run): number {
  return graph.inputs.get("lengths")?.rows ?? 0;
}

/** Numbers in [0, 1), the same each time (Numerical Recipes' linear congruential generator). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
