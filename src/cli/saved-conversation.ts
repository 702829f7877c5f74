import { readFile, rename, rm, writeFile } from "node:fs/promises";
import type { Turn } from "../chat/conversation.ts";
import type { PictureOptions } from "../chat/pictures.ts";
import type { TilingDescription } from "../checkpoint/description.ts";
import { FileError } from "../errors.ts";
import type { OnProgress } from "../progress.ts";
import { attach, type MediaPlace } from "./attachments.ts";

/** One question and its answer. `question` is as the model saw it, with its `<image>` marks. */
export interface SavedTurn {
  readonly question: string;
  readonly answer: string;
  readonly media: readonly MediaPlace[];
}

/** A conversation on disk: pictures by their paths, nothing of their bytes. */
export interface SavedConversation {
  readonly format: typeof format;
  readonly model: string;
  readonly systemMessage?: string;
  readonly maxTiles?: number;
  readonly minTiles?: number;
  readonly turns: readonly SavedTurn[];
}

const format = "internvl conversation 1";

export async function saveConversation(
  file: string,
  conversation: Omit<SavedConversation, "format">,
): Promise<void> {
  const draft = `${file}.incomplete`;
  try {
    await writeFile(draft, `${JSON.stringify({ format, ...conversation }, null, 2)}\n`);
    await rename(draft, file);
  } catch (cause) {
    await rm(draft, { force: true }).catch(() => undefined);
    throw new FileError(file, `cannot be written (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

/** @throws FileError when it cannot be read, or is not what `saveConversation` writes */
export async function readConversation(file: string): Promise<SavedConversation> {
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    const problem = cause.code === "ENOENT" ? "there is no such file" : `cannot be read (${cause.code})`;
    throw new FileError(file, problem, { cause });
  });
  return parseConversation(text, file);
}

/** @throws FileError */
export function parseConversation(text: string, file: string): SavedConversation {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FileError(file, "is not JSON; give a file that /save wrote", { cause });
  }
  const wrong = (what: string) => new FileError(file, `${what}; give a file that /save wrote`);
  if (!isRecord(value) || value.format !== format) throw wrong(`has no "format": "${format}"`);
  const { model, systemMessage, maxTiles, minTiles, turns } = value;
  if (typeof model !== "string") throw wrong("model is not a text");
  if (!isOptional(systemMessage, "string")) throw wrong("systemMessage is not a text");
  if (!isOptional(maxTiles, "number")) throw wrong("maxTiles is not a number");
  if (!isOptional(minTiles, "number")) throw wrong("minTiles is not a number");
  if (!Array.isArray(turns)) throw wrong("turns is not a list");
  for (const [i, turn] of turns.entries()) {
    const fine =
      isRecord(turn) &&
      typeof turn.question === "string" &&
      typeof turn.answer === "string" &&
      Array.isArray(turn.media) &&
      turn.media.every(isPlace);
    if (!fine) throw wrong(`turn ${i + 1} is not a question, an answer and a list of media`);
  }
  return value as unknown as SavedConversation;
}

/** The turns with their pictures opened again, as a model takes them. */
export async function restoreTurns(
  turns: readonly SavedTurn[],
  tiling: TilingDescription,
  options: PictureOptions & { signal: AbortSignal; onProgress?: OnProgress },
): Promise<Turn[]> {
  const restored: Turn[] = [];
  for (const { question, answer, media } of turns) {
    const images = [];
    for (const place of media) images.push(...(await attach(place, tiling, options)).pictures);
    restored.push({ question, answer, images });
  }
  return restored;
}

function isPlace(value: unknown): boolean {
  if (!isRecord(value)) return false;
  if (typeof value.image === "string") return true;
  const { video, segments, bound } = value;
  const bounded =
    bound === undefined ||
    (Array.isArray(bound) && bound.length === 2 && bound.every((each) => typeof each === "number"));
  return typeof video === "string" && typeof segments === "number" && bounded;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOptional<T extends "string" | "number">(value: unknown, type: T): boolean {
  return value === undefined || typeof value === type;
}
