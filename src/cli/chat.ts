import { InternVL } from "../chat/internvl.ts";
import type { Reply } from "../chat/reply.ts";
import { fullSource, placesOf } from "./attachments.ts";
import {
  type ChatFlags,
  generationOptionsOf,
  loadOptionsOf,
  modelOf,
  pictureOptionsOf,
} from "./chat-flags.ts";
import { Conversation } from "./conversation.ts";
import { converse } from "./converse.ts";
import { showProgress } from "./progress-bars.ts";
import { readConversation } from "./saved-conversation.ts";
import { forOutput, writeJson, writeLine } from "./text.ts";
import { UsageError } from "./usage.ts";
import { readInput, type World } from "./world.ts";

/** `internvl chat`: one question and its answer, or a conversation. */
export async function chat(
  words: readonly string[],
  flags: ChatFlags,
  world: World,
): Promise<number | undefined> {
  const { stdin, stdout, stderr, env, interrupts } = world;
  const saved = flags.resume === undefined ? undefined : await readConversation(flags.resume);
  const source = modelOf(flags, env, saved?.model);
  const generation = generationOptionsOf(flags);
  const places = placesOf(flags);
  const interactive = words.length === 0 && Boolean(stdin.isTTY);
  if (interactive && flags.json) throw new UsageError("--json: needs a question on the command line");
  if (interactive && !stdout.isTTY) throw new UsageError("there is no question: write it after the flags");
  const question = interactive ? "" : await questionOf(words, world);

  const bars = showProgress(world);
  try {
    const { signal } = interrupts;
    const { onProgress } = bars;
    await using model = await InternVL.load(source, { ...loadOptionsOf(flags), signal, onProgress });
    bars.clear();
    const pictures = pictureOptionsOf(flags);
    const conversation = new Conversation(model, {
      source: fullSource(source),
      generation,
      maxTiles: pictures.maxTiles ?? saved?.maxTiles,
      minTiles: pictures.minTiles ?? saved?.minTiles,
      systemMessage: flags.system ?? saved?.systemMessage,
      onProgress,
    });
    if (saved) await conversation.restore(saved.turns, signal);
    for (const place of places) await conversation.attach(place, signal);
    if (interactive) return await converse(conversation, world, { verbose: flags.verbose ?? false, bars });

    const reply = await conversation.ask(question, {
      signal,
      onText: flags.json
        ? undefined
        : (text) => {
            bars.clear();
            stdout.write(forOutput(stdout, text));
          },
    });
    bars.clear();
    const { text, finishReason, usage, timings } = reply;
    if (flags.json) writeJson(stdout, { text, finishReason, usage, timings });
    else writeLine(stdout);
    if (flags.verbose) writeLine(stderr, summaryOf(reply));
    return undefined;
  } finally {
    bars.clear();
  }
}

async function questionOf(words: readonly string[], world: World): Promise<string> {
  const piped = words.length === 0 || (words.length === 1 && words[0] === "-");
  const question = piped ? (await readInput(world)).replace(/\r?\n$/, "") : words.join(" ");
  if (question.trim() === "")
    throw new UsageError("the question is empty: write it after the flags, or pipe it in");
  return question;
}

/** What an answer cost, in one line. */
export function summaryOf({ usage, timings, finishReason }: Reply): string {
  const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(2)} s`;
  return [
    `${usage.promptTokens} prompt tokens (${usage.imageTokens} of pictures, ${usage.cachedTokens} kept from before)`,
    `${usage.completionTokens} new (${finishReason})`,
    `pictures ${seconds(timings.encode)}, first token after ${seconds(timings.firstToken)}, all ${seconds(timings.total)}`,
    `${timings.tokensPerSecond.toFixed(1)} tokens/s`,
  ].join("; ");
}
