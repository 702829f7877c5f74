import type { GeneratedSequence } from "../engine/generation.ts";
import type { GenerationResult, Timings } from "../engine/job.ts";
import type { Turn } from "./conversation.ts";

export interface Usage {
  /** Tokens of the prompt, image tokens included. */
  readonly promptTokens: number;
  readonly imageTokens: number;
  /** Of the prompt's tokens, those that were there from earlier prompts and not computed again. */
  readonly cachedTokens: number;
  /** New tokens over all answers. */
  readonly completionTokens: number;
}

/** One answer. */
export interface Answer {
  readonly text: string;
  /** "stop": the model ended it, or a stop did. "length": it reached `maxNewTokens`, or the context. */
  readonly finishReason: GeneratedSequence["finishReason"];
  /** Log-probability of the tokens, divided by their number to the power of `lengthPenalty`. */
  readonly score: number;
}

/** What came of a question. */
export interface Reply extends Answer {
  /** All turns up to and including this one: pass it on to continue. */
  readonly history: Turn[];
  /** All answers, the best first; more than one only with `numReturnSequences`. */
  readonly answers: readonly Answer[];
  readonly usage: Usage;
  /** Milliseconds, and tokens a second. */
  readonly timings: Timings;
}

export function makeReply(
  answers: readonly Answer[],
  history: readonly Turn[],
  turn: Omit<Turn, "answer">,
  prompt: { ids: readonly number[]; imageTokens: number },
  result: GenerationResult,
): Reply {
  return {
    ...answers[0],
    answers,
    history: [...history, { ...turn, answer: answers[0].text }],
    usage: {
      promptTokens: prompt.ids.length,
      imageTokens: prompt.imageTokens,
      cachedTokens: result.cachedTokens,
      completionTokens: result.sequences.reduce((sum, { ids }) => sum + ids.length, 0),
    },
    timings: result.timings,
  };
}
