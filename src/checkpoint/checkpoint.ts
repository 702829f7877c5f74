/** The small files of a checkpoint: `config.json` and whatever else is text. */

import { CheckpointError, FileError } from "../errors.ts";
import { parseConfig } from "./config.ts";
import type { ModelDescription } from "./description.ts";
import type { CheckpointFiles } from "./files.ts";

/** The longest text file that is read. The longest published one, a tokenizer.json, has 9 MB. */
const LONGEST_TEXT = 100_000_000;

/**
 * Reads `config.json`.
 * @throws FileError when it is missing, CheckpointError when it is no JSON, ConfigError when it describes something
 * that is not run here.
 */
export async function loadDescription(files: CheckpointFiles): Promise<ModelDescription> {
  if (!(await files.has("config.json"))) {
    throw new FileError(
      `${files.label}/config.json`,
      "is missing; give a folder or repository with config.json, safetensors and tokenizer files as published",
    );
  }
  return parseConfig(await readJson(files, "config.json"));
}

/** @throws FileError, CheckpointError */
export async function readJson(files: CheckpointFiles, name: string): Promise<unknown> {
  const text = await readText(files, name);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(name, `is not JSON (${(cause as Error).message})`, undefined, { cause });
  }
}

/** A whole file as UTF-8. @throws FileError, CheckpointError */
export async function readText(files: CheckpointFiles, name: string): Promise<string> {
  const size = await files.size(name);
  if (size > LONGEST_TEXT)
    throw new CheckpointError(name, `has ${size} bytes, and a text file here has at most ${LONGEST_TEXT}`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await files.read(name));
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new CheckpointError(name, "is not UTF-8 text", undefined, { cause });
  }
}
