import { CheckpointError } from "../../errors.ts";
import { isSafePath } from "./names.ts";

/** Everything of a checkpoint but its weights: kilobytes, up to a few megabytes for a tokenizer. */
export const describing: readonly string[] = [
  "config.json",
  "generation_config.json",
  "preprocessor_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer.model",
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
];

export const singleFile = "model.safetensors";
export const indexFile = "model.safetensors.index.json";

/** Which file leads to the weights: the only one, or else the index of the shards. Undefined: there are no safetensors. */
export function weightsEntry(
  available: ReadonlySet<string>,
): typeof singleFile | typeof indexFile | undefined {
  if (available.has(singleFile)) return singleFile;
  return available.has(indexFile) ? indexFile : undefined;
}

/** The files of a repository that describe the checkpoint, the index of shards among them. */
export function describingFiles(available: ReadonlySet<string>): string[] {
  const wanted = weightsEntry(available) === indexFile ? [...describing, indexFile] : describing;
  return wanted.filter((file) => available.has(file));
}

/** Whether the files can make a tokenizer of any of the family's kinds. */
export function hasTokenizer(available: ReadonlySet<string>): boolean {
  return (
    available.has("tokenizer.model") ||
    available.has("tokenizer.json") ||
    (available.has("vocab.json") && available.has("merges.txt"))
  );
}

/**
 * The shards that an index names, each once, sorted.
 * @throws CheckpointError when `text` is not an index, or names a file outside the checkpoint's folder
 */
export function shardsOf(text: string, file: string): string[] {
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(file, "is not JSON; delete it and download it again", undefined, { cause });
  }
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  if (map === null || typeof map !== "object" || Array.isArray(map)) {
    throw new CheckpointError(file, "must be an object of tensor names and file names", "weight_map");
  }
  const shards = new Set<string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !isSafePath(shard) || !shard.endsWith(".safetensors")) {
      throw new CheckpointError(file, "must name a .safetensors file of the same folder", tensor);
    }
    shards.add(shard);
  }
  if (shards.size === 0) throw new CheckpointError(file, "names no tensors", "weight_map");
  return [...shards].sort();
}
