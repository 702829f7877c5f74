import { OptionError } from "../errors.ts";
import type { ImageSource } from "../media/sources.ts";
import { imageMark } from "./build-prompt.ts";
import type { Turn } from "./conversation.ts";
import type { ChatOptions, InternVL } from "./internvl.ts";
import type { Reply } from "./reply.ts";
import type { ReplyStream } from "./reply-stream.ts";

/** LMDeploy's name for the place of a picture in a prompt (`lmdeploy.vl.constants`); `<image>` is understood too. */
export const imageToken = "<IMAGE_TOKEN>";

/**
 * A text; a text with one picture; a text with several. A pair of two texts is a text and a picture's path or address:
 * a batch of two texts alone is written `[["first"], ["second"]]`.
 */
export type PipelinePrompt =
  | string
  | readonly [text: string]
  | readonly [text: string, image: ImageSource]
  | readonly [text: string, images: readonly ImageSource[]];

/** The options of a pipeline's prompts: those of `chat`, without what the prompt itself holds. */
export type PipelineOptions = Omit<ChatOptions, "images" | "video" | "segments" | "bound" | "history">;

/** A conversation in turns: `response` is the latest reply. */
export interface Session {
  readonly response: Reply;
  readonly history: readonly Turn[];
}

export interface Pipeline {
  /** Answers one prompt. */
  (prompt: PipelinePrompt, options?: PipelineOptions): Promise<Reply>;
  /** Answers a batch of prompts, in their order. */
  (prompts: readonly PipelinePrompt[], options?: PipelineOptions): Promise<Reply[]>;
  /** A turn of a conversation; pass the session on to continue it. */
  chat(prompt: PipelinePrompt, options?: PipelineOptions & { session?: Session }): Promise<Session>;
  /** One prompt, answered piece by piece. */
  stream(prompt: PipelinePrompt, options?: PipelineOptions & { session?: Session }): ReplyStream;
}

/** The system prompt of the model card's LMDeploy example. */
const systemPrompt =
  "我是书生·万象，英文名是InternVL，是由上海人工智能实验室及多家合作单位联合开发的多模态基础模型。人工智能实验室致力于原始技术创新，开源开放，共享共创，推动科技进步和产业发展。";

/** Where LMDeploy's defaults differ from `chat`'s (`GenerationConfig`). */
const defaults = { maxNewTokens: 512 };

/**
 * A loaded model in the shape of LMDeploy's `pipeline`. Pictures without a place in the text are put in front together,
 * as one `<img>…</img>` and a newline; `<IMAGE_TOKEN>` in the text gives each a place of its own.
 *
 * @param options `systemMessage` replaces LMDeploy's own system prompt; everything else holds for each prompt that
 * does not say otherwise.
 */
export function pipeline(model: InternVL, options: PipelineOptions = {}): Pipeline {
  const standing = { ...defaults, systemMessage: systemPrompt, ...options };

  const ask = (prompt: PipelinePrompt, own: PipelineOptions & { session?: Session }) => {
    const { session, ...rest } = own;
    const history = session?.history;
    return { ...questionOf(prompt), ...standing, ...rest, ...(history && { history }) };
  };

  const call = (prompts: PipelinePrompt | readonly PipelinePrompt[], own: PipelineOptions = {}) => {
    if (!isBatch(prompts)) {
      const { question, ...rest } = ask(prompts, own);
      return model.chat(question, rest);
    }
    return model.batchChat(prompts.map((prompt) => ask(prompt, own)));
  };

  return Object.assign(call, {
    async chat(prompt: PipelinePrompt, own: PipelineOptions & { session?: Session } = {}): Promise<Session> {
      const { question, ...rest } = ask(prompt, own);
      const response = await model.chat(question, rest);
      return { response, history: response.history };
    },
    stream(prompt: PipelinePrompt, own: PipelineOptions & { session?: Session } = {}): ReplyStream {
      const { question, ...rest } = ask(prompt, own);
      return model.stream(question, rest);
    },
  }) as Pipeline;
}

/** A list is one prompt when it is a text with at most one thing after it that is a picture or pictures. */
function isBatch(prompts: PipelinePrompt | readonly PipelinePrompt[]): prompts is readonly PipelinePrompt[] {
  if (typeof prompts === "string") return false;
  if (!Array.isArray(prompts) || prompts.length === 0) {
    throw new OptionError(
      "prompt",
      prompts,
      "must be a text, [text, image], [text, images], or a list of those",
    );
  }
  return typeof prompts[0] !== "string" || prompts.length > 2;
}

/** The question with `<image>` marks, and one entry for each of them. */
function questionOf(prompt: PipelinePrompt): { question: string; images?: (ImageSource | ImageSource[])[] } {
  const [text, pictures] = typeof prompt === "string" ? [prompt] : prompt;
  if (typeof text !== "string") throw new OptionError("prompt", prompt, "must begin with its text");
  const question = text.replaceAll(imageToken, imageMark);
  if (pictures === undefined) return { question };
  const images = Array.isArray(pictures)
    ? [...(pictures as readonly ImageSource[])]
    : [pictures as ImageSource];
  if (images.length === 0) return { question };
  if (question.includes(imageMark)) return { question, images };
  return { question: `${imageMark}\n${question}`, images: [images] };
}
