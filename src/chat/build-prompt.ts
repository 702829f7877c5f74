import { OptionError, PromptError } from "../errors.ts";
import { type Template, templateOf } from "./templates.ts";

/** Where a picture stands in a question. */
export const imageMark = "<image>";

export interface PromptTurn {
  readonly question: string;
  readonly answer: string;
}

export interface BuildPromptOptions {
  /** The name of the template (`config.json`: `template`). Default "internlm2-chat". */
  template?: string;
  question: string;
  /** Earlier turns; their questions hold the `<image>` marks of their pictures. */
  history?: readonly PromptTurn[];
  /** Replaces the template's system message. */
  systemMessage?: string;
  /** For each `<image>` mark of the whole conversation, in order, the tiles that stand there. */
  tiles?: readonly number[];
  /** Image tokens a tile becomes. Default 256. */
  tokensPerTile?: number;
}

/**
 * The text a model is given: system message, earlier turns and the question in the template's form, each `<image>`
 * mark replaced by `<img>`, as many `<IMG_CONTEXT>` as its tiles have tokens, and `</img>`. This is what `chat` of
 * modeling_internvl_chat.py builds before it tokenises; the tokenizer puts the begin-of-text id in front.
 *
 * @throws PromptError when there are more marks than entries in `tiles`, or fewer.
 * @throws ConfigError for an unknown template.
 */
export function buildPrompt(options: BuildPromptOptions): string {
  const { template = "internlm2-chat", history = [], question, tiles = [], tokensPerTile = 256 } = options;
  const turns: { question: string; answer?: string }[] = [...history, { question }];
  const marks = turns.reduce((sum, turn) => sum + countMarks(turn.question), 0);
  checkMarks("the conversation", marks, tiles.length);
  let used = 0;
  const placed = turns.map((turn) => {
    const own = tiles.slice(used, used + countMarks(turn.question));
    used += own.length;
    return { ...turn, question: placeImages(turn.question, own, tokensPerTile) };
  });
  return renderTurns(templateOf(template), placed, options.systemMessage);
}

/**
 * The conversation in the template's form (`get_prompt`, separator style MPT). As published, an empty message leaves
 * its role without an end mark.
 */
export function renderTurns(
  template: Template,
  turns: readonly { question: string; answer?: string }[],
  systemMessage = template.systemMessage,
): string {
  const message = (role: string, text: string | undefined) => (text ? role + text + template.end : role);
  return turns.reduce(
    (text, { question, answer }) =>
      text + message(template.user, question) + message(template.assistant, answer),
    template.system + systemMessage + template.end,
  );
}

/**
 * Replaces the `<image>` marks of one question, in order, each by the image tokens of its tiles. Marks elsewhere, in an
 * answer for example, are plain text.
 */
export function placeImages(question: string, tiles: readonly number[], tokensPerTile: number): string {
  checkMarks("the question", countMarks(question), tiles.length);
  return question.split(imageMark).reduce((before, after, i) => {
    const count = tiles[i - 1];
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new OptionError("tiles", count, "every picture has at least one tile");
    }
    return `${before}<img>${"<IMG_CONTEXT>".repeat(count * tokensPerTile)}</img>${after}`;
  });
}

/** How many pictures a question has room for. */
export function countMarks(question: string): number {
  return question.split(imageMark).length - 1;
}

function checkMarks(where: string, marks: number, pictures: number): void {
  if (marks === pictures) return;
  const remedy =
    marks < pictures
      ? "write <image> where each picture stands, or give pictures that share one place as a list of their own"
      : "give a picture for each mark, or leave the mark out";
  throw new PromptError(
    `${where} has ${count(marks, "<image> mark")} for ${count(pictures, "picture")}: ${remedy}`,
  );
}

function count(n: number, thing: string): string {
  return `${n === 0 ? "no" : n} ${thing}${n === 1 ? "" : "s"}`;
}
