import type { Turn } from "../chat/conversation.ts";
import type { InternVL } from "../chat/internvl.ts";
import type { Reply } from "../chat/reply.ts";
import type { GenerationOptions } from "../engine/options.ts";
import type { OnProgress } from "../progress.ts";
import { type Attachment, attach, type MediaPlace, withMarks } from "./attachments.ts";
import { restoreTurns, type SavedTurn, saveConversation } from "./saved-conversation.ts";
import { UsageError } from "./usage.ts";

interface Settings {
  /** As the user named the model. */
  readonly source: string;
  readonly generation: GenerationOptions;
  readonly maxTiles?: number;
  readonly minTiles?: number;
  readonly systemMessage?: string;
  readonly onProgress?: OnProgress;
}

/** A conversation as it grows: its turns for the model, the same turns for a file, and what the next question brings. */
export class Conversation {
  readonly #model: InternVL;
  readonly #settings: Settings;
  #history: Turn[] = [];
  #saved: SavedTurn[] = [];
  #attachments: Attachment[] = [];

  constructor(model: InternVL, settings: Settings) {
    this.#model = model;
    this.#settings = settings;
  }

  get turns(): number {
    return this.#history.length;
  }

  /** Takes up turns that were saved. */
  async restore(turns: readonly SavedTurn[], signal: AbortSignal): Promise<void> {
    this.#history = await restoreTurns(turns, this.#model.description.tiling, this.#mediaOptions(signal));
    this.#saved = [...turns];
  }

  /** Opens a picture or clip for the next question. */
  async attach(place: MediaPlace, signal: AbortSignal): Promise<{ tiles: number; tokens: number }> {
    const mixes = this.#attachments.some((other) => "video" in other.place || "video" in place);
    if (mixes) throw new UsageError("a clip stands alone in its question: ask, or /reset, before the next");
    const { tiling } = this.#model.description;
    const attachment = await attach(place, tiling, this.#mediaOptions(signal));
    this.#attachments.push(attachment);
    const tiles = attachment.pictures.reduce((sum, picture) => sum + picture.tiles.length, 0);
    return { tiles, tokens: tiles * tiling.tokensPerTile };
  }

  /**
   * Asks. When it fails or is cancelled, the conversation is as it was before, what was attached included.
   * @param onText called with each piece of the answer; with beams once, with all of it
   */
  async ask(
    question: string,
    options: { signal: AbortSignal; onText?: (text: string) => void },
  ): Promise<Reply> {
    const { generation, maxTiles, minTiles, systemMessage, onProgress } = this.#settings;
    const { signal, onText } = options;
    const marked = withMarks(question, this.#attachments);
    const images = this.#attachments.flatMap(({ pictures }) => pictures);
    const history = this.#history.length > 0 ? this.#history : undefined;
    const all = { ...generation, maxTiles, minTiles, systemMessage, images, history, signal, onProgress };
    const reply = onText ? await this.#streamed(marked, all, onText) : await this.#model.chat(marked, all);
    const { question: asked } = reply.history.at(-1)!;
    this.#saved.push({
      question: asked,
      answer: reply.text,
      media: this.#attachments.map(({ place }) => place),
    });
    this.#history = reply.history;
    this.#attachments = [];
    return reply;
  }

  reset(): void {
    this.#history = [];
    this.#saved = [];
    this.#attachments = [];
  }

  async save(file: string): Promise<void> {
    const { source: model, systemMessage, maxTiles, minTiles } = this.#settings;
    await saveConversation(file, { model, systemMessage, maxTiles, minTiles, turns: this.#saved });
  }

  async #streamed(
    question: string,
    options: Parameters<InternVL["stream"]>[1],
    onText: (text: string) => void,
  ): Promise<Reply> {
    if ((options?.numBeams ?? 1) > 1) {
      const reply = await this.#model.chat(question, options);
      onText(reply.text);
      return reply;
    }
    const stream = this.#model.stream(question, options);
    for await (const { text } of stream) onText(text);
    return stream.reply;
  }

  #mediaOptions(signal: AbortSignal) {
    const { maxTiles, minTiles, onProgress } = this.#settings;
    return { maxTiles, minTiles, signal, onProgress };
  }
}
