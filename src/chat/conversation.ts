import type { ModelDescription } from "../checkpoint/description.ts";
import type { FeatureCache } from "../engine/features.ts";
import { type FeatureBlock, Prompt } from "../engine/prompt.ts";
import { ConfigError, OptionError } from "../errors.ts";
import type { RGBImage } from "../media/image.ts";
import type { VideoSource } from "../media/video.ts";
import type { OnProgress } from "../progress.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { countMarks, imageMark, placeImages, renderTurns } from "./build-prompt.ts";
import {
  type PictureInput,
  type PictureOptions,
  type TiledPicture,
  tilePicture,
  tileVideo,
} from "./pictures.ts";
import type { Template } from "./templates.ts";

/** A question and its answer, with the pictures that stand at the question's `<image>` marks. */
export interface Turn {
  readonly question: string;
  readonly answer: string;
  readonly images?: readonly PictureInput[];
}

/** What a question comes with. */
export interface AskOptions extends PictureOptions {
  /**
   * One entry for each `<image>` mark in the question. Without a mark, on the first turn, `<image>\n` is put in front
   * and all pictures stand there together, as the reference does.
   */
  images?: readonly PictureInput[];
  /** A clip, or its frames: each frame is one tile, put in front as `Frame1: <image>\n` and so on. */
  video?: VideoSource | Iterable<RGBImage> | AsyncIterable<RGBImage>;
  /** Frames to take from the clip, spread evenly. Default 8. */
  segments?: number;
  /** Seconds of the clip to take them from: start and end. Default the whole clip. */
  bound?: readonly [number, number];
  /** Earlier turns, as a reply gave them or written by hand. */
  history?: readonly Turn[];
  /** Replaces the template's system message. */
  systemMessage?: string;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/** A conversation ready to be answered. */
export interface PreparedConversation {
  readonly prompt: Prompt;
  /** The turn at hand, its marks written out and its pictures tiled. */
  readonly turn: Omit<Turn, "answer">;
  /** Earlier turns, their pictures tiled. */
  readonly history: readonly Turn[];
}

/** What makes prompts: the parts of a loaded model that know text and pictures. */
export interface PromptMaker {
  readonly description: ModelDescription;
  readonly template: Template;
  readonly tokenizer: Tokenizer;
  readonly features: FeatureCache;
  readonly imageToken: number;
}

/** The id of `<IMG_CONTEXT>`, which stands for one row of image features. */
export function imageTokenOf(tokenizer: Tokenizer): number {
  const id = tokenizer.idOf("<IMG_CONTEXT>");
  if (id === undefined) throw new ConfigError("template", "the tokenizer has no <IMG_CONTEXT> token");
  return id;
}

/** From a question and what comes with it to token ids and image features, as `chat` of the published code does. */
export async function prepareConversation(
  maker: PromptMaker,
  question: string,
  options: AskOptions,
): Promise<PreparedConversation> {
  if (typeof question !== "string") throw new OptionError("question", question, "must be a text");
  const { tiling } = maker.description;
  const turn = await takePictures(maker, question, options);
  const history: (Turn & { images: TiledPicture[] })[] = [];
  for (const earlier of checkHistory(options.history)) {
    const images: TiledPicture[] = [];
    for (const input of earlier.images ?? []) images.push(await tilePicture(input, tiling, options));
    history.push({ ...earlier, images });
  }
  const turns = [...history, { ...turn, answer: undefined }].map((each) => ({
    answer: each.answer,
    question: placeImages(
      each.question,
      each.images.map(({ tiles }) => tiles.length),
      tiling.tokensPerTile,
    ),
  }));
  const text = renderTurns(maker.template, turns, options.systemMessage);
  const blocks = [...history, turn].flatMap(({ images }) =>
    images.flatMap((picture) => blocksOf(maker, picture)),
  );
  const ids = maker.tokenizer.encode(text);
  return { prompt: new Prompt(ids, maker.imageToken, blocks), turn, history };
}

function checkHistory(history: readonly Turn[] = []): readonly Turn[] {
  const isTurn = (turn: Turn) => typeof turn?.question === "string" && typeof turn.answer === "string";
  if (Array.isArray(history) && history.every(isTurn)) return history;
  throw new OptionError("history", history, "must be a list of turns { question, answer, images }");
}

/** The question with its marks written out, and a tiled picture for each. */
async function takePictures(
  maker: PromptMaker,
  question: string,
  options: AskOptions,
): Promise<{ question: string; images: TiledPicture[] }> {
  const { tiling } = maker.description;
  const { images = [], video, segments, bound, history, signal, onProgress } = options;
  if (!Array.isArray(images)) throw new OptionError("images", images, "must be a list of pictures");
  if (video === undefined) {
    for (const option of ["segments", "bound"] as const) {
      if (options[option] !== undefined)
        throw new OptionError(option, options[option], "is only read with a video");
    }
  } else {
    if (images.length > 0)
      throw new OptionError("video", video, "can not be combined with images in one question");
    const frames = await tileVideo(video, tiling, { segments, bound, signal, onProgress });
    const marked = frames.map((_, i) => `Frame${i + 1}: ${imageMark}\n`).join("");
    return { question: marked + question, images: frames };
  }
  const pictures: TiledPicture[] = [];
  for (const input of images) pictures.push(await tilePicture(input, tiling, options));
  if (pictures.length > 0 && countMarks(question) === 0 && history === undefined) {
    // The reference's default: one mark in front, at which all tiles stand.
    return {
      question: `${imageMark}\n${question}`,
      images: [{ tiles: pictures.flatMap(({ tiles }) => tiles) }],
    };
  }
  return { question, images: pictures };
}

/** What the engine computes of a picture: one block of features a tile, found again by its content. */
function blocksOf(maker: PromptMaker, picture: TiledPicture): FeatureBlock[] {
  return picture.tiles.map(({ pixels, hash }) => ({
    rows: maker.description.tiling.tokensPerTile,
    identity: maker.features.identityOf(hash),
    pixels,
  }));
}
