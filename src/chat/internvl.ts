import type { ModelDescription } from "../checkpoint/description.ts";
import type { Engine } from "../engine/engine.ts";
import type { GeneratedSequence } from "../engine/generation.ts";
import type { GenerationResult } from "../engine/job.ts";
import { type GenerationOptions, generationOptionNames, resolveOptions } from "../engine/options.ts";
import { type FeatureBlock, Prompt } from "../engine/prompt.ts";
import { ConfigError, OptionError, ShapeError } from "../errors.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { AnswerText } from "./answer-text.ts";
import {
  type AskOptions,
  imageTokenOf,
  type PreparedConversation,
  type PromptMaker,
  prepareConversation,
} from "./conversation.ts";
import { type LoadOptions, loadParts, type ModelParts, type ModelSource } from "./load.ts";
import { chatOptionNames, checkOptionNames } from "./option-names.ts";
import { type Answer, makeReply, type Reply } from "./reply.ts";
import { ReplyStream } from "./reply-stream.ts";
import { type Template, templateOf } from "./templates.ts";

/** Everything that can be said with a question. */
export interface ChatOptions extends AskOptions, GenerationOptions {}

/** One question of a batch, with options of its own. */
export interface BatchItem extends ChatOptions {
  question: string;
}

/** Options of `generate`, which works on token ids. */
export interface GenerateOptions extends GenerationOptions {
  /** Image features `[rows, hiddenSize]` for the `<IMG_CONTEXT>` tokens of the prompt, in order. */
  features?: Float32Array;
  signal?: AbortSignal;
}

/** An InternVL2 checkpoint, loaded: ask it about pictures. Made by `InternVL.load`. */
export class InternVL implements AsyncDisposable {
  readonly tokenizer: Tokenizer;
  readonly description: ModelDescription;
  readonly template: Template;
  /** The device it runs on. */
  readonly device: string;
  readonly #engine: Engine;
  readonly #parts: ModelParts;
  readonly #maker: PromptMaker;
  readonly #endId: number;

  private constructor(parts: ModelParts) {
    this.#parts = parts;
    this.#engine = parts.engine;
    this.tokenizer = parts.tokenizer;
    this.description = parts.description;
    this.device = parts.device;
    this.template = templateOf(parts.description.template);
    this.#maker = {
      description: this.description,
      template: this.template,
      tokenizer: this.tokenizer,
      features: this.#engine.features,
      imageToken: imageTokenOf(this.tokenizer),
    };
    const endId = this.tokenizer.idOf(this.template.end);
    if (endId === undefined) {
      throw new ConfigError(
        "template",
        `the tokenizer has no ${this.template.end} token, which ${this.template.name} needs`,
      );
    }
    this.#endId = endId;
  }

  /**
   * Opens a checkpoint as it is published.
   * @param source "demo" for the model that comes with the package, a hub id ("OpenGVLab/InternVL2-8B"), a folder, or
   * the files themselves
   */
  static async load(source: ModelSource, options: LoadOptions = {}): Promise<InternVL> {
    const parts = await loadParts(source, options);
    try {
      return new InternVL(parts);
    } catch (error) {
      await parts.dispose();
      throw error;
    }
  }

  /** Asks, and waits for the whole answer: `chat` of the published code. */
  async chat(question: string, options: ChatOptions = {}): Promise<Reply> {
    checkOptionNames(options, chatOptionNames);
    return this.#answer(question, options, undefined);
  }

  /** Asks, and gives the answer piece by piece. Leaving the loop cancels. */
  stream(question: string, options: ChatOptions = {}): ReplyStream {
    checkOptionNames(options, chatOptionNames);
    for (const option of ["numBeams", "numReturnSequences"] as const) {
      const value = options[option];
      if (value !== undefined && value > 1) {
        throw new OptionError(
          option,
          value,
          "an answer can only be streamed when there is one at a time; use chat",
        );
      }
    }
    const controller = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
    return new ReplyStream(
      (push) => this.#answer(question, { ...options, signal }, push),
      (reason) => controller.abort(reason),
    );
  }

  /**
   * Asks several questions at once, each with pictures and options of its own; the second argument holds for all. Each
   * is answered as it would be alone. When one fails, the others are cancelled.
   */
  async batchChat(items: readonly BatchItem[], options: ChatOptions = {}): Promise<Reply[]> {
    const controller = new AbortController();
    const work = items.map(async ({ question, ...own }) => {
      const both = { ...options, ...own };
      const signals = [options.signal, own.signal, controller.signal].filter(
        (signal) => signal !== undefined,
      );
      return this.chat(question, { ...both, signal: AbortSignal.any(signals) });
    });
    try {
      return await Promise.all(work);
    } catch (error) {
      controller.abort(error);
      await Promise.allSettled(work);
      throw error;
    }
  }

  /**
   * Image features of tiles: vision tower and projector.
   * @param tiles RGB bytes, one array `[T, tileSize, tileSize, 3]` or a list with one array a tile
   * @returns `[T * tokensPerTile, hiddenSize]`
   */
  async encodeImages(
    tiles: Uint8Array | readonly Uint8Array[],
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Float32Array> {
    const size = this.description.tiling.tileSize;
    const bytes = size * size * 3;
    const list = tiles instanceof Uint8Array ? split(tiles, bytes) : tiles;
    if (list.length === 0 || list.some((tile) => tile.length !== bytes)) {
      const got = list.map((tile) => tile.length).join(", ");
      throw new ShapeError(`tiles have ${got || "no"} bytes, want ${bytes} each (${size} by ${size}, RGB)`);
    }
    return this.#engine.encodeTiles(list, signal);
  }

  /**
   * The logits that follow a prompt of token ids.
   * @param features `[rows, hiddenSize]`, for the prompt's `<IMG_CONTEXT>` tokens in order
   * @returns `[vocabularySize]`
   */
  async logits(
    ids: ArrayLike<number>,
    features?: Float32Array,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Float32Array> {
    return this.#engine.logits(this.#promptOf(ids, features), signal);
  }

  /** Continues a prompt of token ids. The ids given back come after the prompt; the one that ended it is included. */
  async generate(
    ids: ArrayLike<number>,
    options: GenerateOptions = {},
  ): Promise<{ sequences: GeneratedSequence[] }> {
    checkOptionNames(options, new Set([...generationOptionNames, "features", "signal"]));
    const { features, signal, ...generation } = options;
    const { sequences } = await this.#engine.generate({
      prompt: this.#promptOf(ids, features),
      options: resolveOptions(generation, this.description.language.vocabularySize),
      endIds: [this.#endId],
      signal,
    });
    return { sequences };
  }

  /** Forgets earlier prompts and pictures; the next question computes everything anew. */
  clearCaches(): void {
    this.#engine.clearCaches();
  }

  /** Ends everything that runs and gives the memory back. */
  async dispose(): Promise<void> {
    await this.#parts.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #answer(
    question: string,
    options: ChatOptions,
    push: ((text: string) => void) | undefined,
  ): Promise<Reply> {
    const generation = Object.fromEntries(
      Object.entries(options).filter(([name]) => generationOptionNames.has(name)),
    ) as GenerationOptions;
    const resolved = resolveOptions(generation, this.description.language.vocabularySize);
    const conversation = await prepareConversation(this.#maker, question, options);
    const streamed = push && this.#answerText(resolved.stop);
    const result = await this.#engine.generate({
      prompt: conversation.prompt,
      options: resolved,
      endIds: [this.#endId],
      signal: options.signal,
      onProgress: options.onProgress,
      onToken: streamed && ((token) => push(streamed.push(token))),
    });
    if (streamed) push(streamed.finish());
    return this.#reply(conversation, result, resolved.stop);
  }

  #reply(
    { prompt, turn, history }: PreparedConversation,
    result: GenerationResult,
    stop: readonly (number | string)[],
  ): Reply {
    const answers = result.sequences.map(({ ids, finishReason, score }): Answer => {
      const text = this.#answerText(stop);
      return { text: ids.map((id) => text.push(id)).join("") + text.finish(), finishReason, score };
    });
    return makeReply(answers, history, turn, prompt, result);
  }

  /** Cuts at the template's end and at stops; the text of a stop id is not part of an answer. */
  #answerText(stop: readonly (number | string)[]): { push(id: number): string; finish(): string } {
    const texts = stop.filter((each) => typeof each === "string");
    const answer = new AnswerText(this.tokenizer, [this.template.end, ...texts]);
    return {
      push: (id) => (stop.includes(id) ? "" : answer.push(id)),
      finish: () => answer.finish(),
    };
  }

  #promptOf(ids: ArrayLike<number>, features: Float32Array | undefined): Prompt {
    const { vocabularySize, hiddenSize } = this.description.language;
    if (ids.length === 0) throw new OptionError("ids", [], "there must be at least one token");
    const list = Array.from(ids);
    for (const id of list) {
      if (!(Number.isInteger(id) && id >= 0 && id < vocabularySize)) {
        throw new OptionError("ids", id, `token ids run from 0 to ${vocabularySize - 1}`);
      }
    }
    return new Prompt(list, this.#maker.imageToken, this.#featureBlocks(features, hiddenSize));
  }

  /** Features given from outside: one block, known to nobody else. */
  #featureBlocks(features: Float32Array | undefined, hiddenSize: number): FeatureBlock[] {
    if (features === undefined || features.length === 0) return [];
    if (features.length % hiddenSize !== 0) {
      throw new ShapeError(`features have ${features.length} values, want a multiple of ${hiddenSize}`);
    }
    const rows = features.length / hiddenSize;
    return [{ rows, identity: this.#engine.features.newIdentity(), values: features }];
  }
}

function split(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}
