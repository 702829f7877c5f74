import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { confirm, isCancel } from "@clack/prompts";
import { InternVLError } from "../errors.ts";
import { defaultSegments, fullPath, type MediaPlace } from "./attachments.ts";
import { summaryOf } from "./chat.ts";
import type { Conversation } from "./conversation.ts";
import { LineReader } from "./line-reader.ts";
import type { ProgressBars } from "./progress-bars.ts";
import { splitWords } from "./split-words.ts";
import { forOutput, table, writeLine } from "./text.ts";
import { messageOf, UsageError } from "./usage.ts";
import type { World } from "./world.ts";

const help = table([
  ["/image PATH…", "show pictures with the next question"],
  ["/video PATH", "show a clip with the next question"],
  ["/reset", "begin anew"],
  ["/save FILE", "write the conversation down; chat --resume FILE goes on with it"],
  ["/help", "this list"],
  ["/quit", "leave; so does Ctrl-D"],
  ["Ctrl-C", "cancel the answer; on an empty line, leave"],
]);

interface Surroundings {
  readonly verbose: boolean;
  readonly bars: ProgressBars;
}

/** A conversation on a terminal. */
export async function converse(
  conversation: Conversation,
  world: World,
  surroundings: Surroundings,
): Promise<number | undefined> {
  const { stdout, stderr, interrupts } = world;
  const reader = new LineReader(world);
  writeLine(stdout, "Ask a question. /image PATH shows a picture, /help lists the rest.");
  for (;;) {
    const line = await reader.read("> ");
    if (line === undefined) return undefined;
    if (line.trim() === "") continue;
    try {
      const finished = await interrupts.part(async (signal) => {
        const command = /^\/([a-z]*)(?:\s+(.*))?$/s.exec(line.trim());
        if (command === null) await answer(conversation, line, world, surroundings, signal);
        else await obey(conversation, command[1], splitWords(command[2] ?? ""), world, signal);
      });
      surroundings.bars.clear();
      if (!finished) writeLine(stdout, "\n(cancelled: this question is not part of the conversation)");
    } catch (error) {
      surroundings.bars.clear();
      if (error === quit) return undefined;
      const known = error instanceof InternVLError || error instanceof UsageError;
      if (!known) throw error;
      writeLine(stderr, `internvl: ${error instanceof InternVLError ? messageOf(error) : error.message}`);
    }
  }
}

/** Thrown by /quit. */
const quit = new Error("quit");

async function answer(
  conversation: Conversation,
  question: string,
  { stdout, stderr }: World,
  { verbose, bars }: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  const onText = (text: string) => {
    bars.clear();
    stdout.write(forOutput(stdout, text));
  };
  const reply = await conversation.ask(question, { signal, onText });
  writeLine(stdout, "\n");
  if (verbose) writeLine(stderr, summaryOf(reply));
}

async function obey(
  conversation: Conversation,
  command: string,
  words: readonly string[],
  world: World,
  signal: AbortSignal,
): Promise<void> {
  const { stdout } = world;
  switch (command) {
    case "image":
      needWords("/image PATH…", words.length >= 1);
      for (const word of words) await show(conversation, { image: fullPath(word) }, world, signal);
      return;
    case "video":
      needWords("/video PATH", words.length === 1);
      return await show(
        conversation,
        { video: fullPath(words[0]), segments: defaultSegments },
        world,
        signal,
      );
    case "reset":
      conversation.reset();
      return writeLine(stdout, "Begun anew.");
    case "save":
      needWords("/save FILE", words.length === 1);
      if (!(await mayWrite(words[0], world, signal))) return;
      await conversation.save(words[0]);
      return writeLine(stdout, `Saved ${turnsText(conversation.turns)} in ${resolve(words[0])}`);
    case "help":
      return writeLine(stdout, help);
    case "quit":
    case "exit":
      throw quit;
    default:
      throw new UsageError(`/${command} is not a command; /help lists those there are`);
  }
}

async function show(
  conversation: Conversation,
  place: MediaPlace,
  { stdout }: World,
  signal: AbortSignal,
): Promise<void> {
  const { tiles, tokens } = await conversation.attach(place, signal);
  const name = "image" in place ? place.image : place.video;
  writeLine(
    stdout,
    `${forOutput(stdout, name)}: ${tiles} ${tiles === 1 ? "tile" : "tiles"}, ${tokens} tokens`,
  );
}

function needWords(form: string, holds: boolean): void {
  if (!holds) throw new UsageError(`write ${form}`);
}

/** Whether a file is not there, or may be replaced. */
async function mayWrite(file: string, { stdin, stdout }: World, signal: AbortSignal): Promise<boolean> {
  try {
    await access(file);
  } catch {
    return true;
  }
  const message = `${file} is there already. Replace it?`;
  const replace = await confirm({ message, initialValue: false, input: stdin, output: stdout, signal });
  return !isCancel(replace) && replace;
}

function turnsText(turns: number): string {
  return turns === 1 ? "1 turn" : `${turns} turns`;
}
