import { loadTokenizer } from "../chat/load.ts";
import { openFolder } from "../checkpoint/folder.node.ts";
import { modelOf } from "./chat-flags.ts";
import { localFolder } from "./local-checkpoint.ts";
import type { CommonFlags } from "./program.ts";
import { forOutput, writeJson, writeLine } from "./text.ts";
import { UsageError } from "./usage.ts";
import { readInput, type World } from "./world.ts";

export interface TokensFlags extends CommonFlags {
  model?: string;
  revision?: string;
  decode?: boolean;
  /** False with --no-special. */
  special: boolean;
}

/** `internvl tokens`: a text's ids and pieces, or the text of ids. */
export async function tokens(words: readonly string[], flags: TokensFlags, world: World): Promise<undefined> {
  const { stdin, stdout, env } = world;
  const source = modelOf(flags, env);
  const piped = words.length === 0 || (words.length === 1 && words[0] === "-");
  if (words.length === 0 && stdin.isTTY) throw new UsageError("there is no text: write it after the flags");
  const files = await openFolder(await localFolder(source, flags.revision, world));
  try {
    const tokenizer = await loadTokenizer(files);
    const text = piped ? await readInput(world) : words.join(" ");
    if (flags.decode) {
      const ids = idsOf(text);
      const decoded = tokenizer.decode(ids);
      if (flags.json) writeJson(stdout, { ids, text: decoded });
      else writeLine(stdout, forOutput(stdout, decoded));
      return;
    }
    const ids = tokenizer.encode(text, { addSpecial: flags.special });
    const pieces = ids.map((id) => tokenizer.tokenOf(id) ?? "");
    if (flags.json) {
      writeLine(stdout, JSON.stringify({ count: ids.length, ids, pieces }));
      return;
    }
    const lines = ids.map((id, i) => `${String(id).padStart(6)}  ${JSON.stringify(pieces[i])}`);
    writeLine(stdout, [...lines, `${ids.length} ${ids.length === 1 ? "token" : "tokens"}`].join("\n"));
  } finally {
    await files.close();
  }
}

/** `1 2 3`, `1,2,3` or `[1, 2, 3]`. */
function idsOf(text: string): number[] {
  const words = text.split(/[\s,[\]]+/).filter((word) => word !== "");
  return words.map((word) => {
    if (/^\d+$/.test(word)) return Number(word);
    throw new UsageError(`--decode: ${JSON.stringify(word)} is not a token id`);
  });
}
