import type { BackendOptions } from "../chat/choose-backend.ts";
import type { ModelDescription } from "../checkpoint/description.ts";
import { OptionError } from "../errors.ts";

/** What is measured, and how often. */
export interface BenchmarkOptions extends BackendOptions {
  /** Layers of the tower and of the language model that are run; all of them where a part has fewer. Default: all. */
  layers?: number;
  /** Tiles of the picture. 0: no picture. Default 7. */
  tiles?: number;
  /** Tokens of the prompt besides the picture's. Default 64. */
  promptTokens?: number;
  /** Decode steps that are measured. Default 32. */
  newTokens?: number;
  /** Conversations that decode together. Default 1. */
  batch?: number;
  /** How often everything is measured; the medians count. Default 3. */
  repeat?: number;
  /** Report every kind of operation on its own. Default false. */
  roofline?: boolean;
}

export type ResolvedBenchmarkOptions = Required<BenchmarkOptions>;

const ranges = {
  layers: [1, 1000],
  tiles: [0, 1000],
  promptTokens: [1, 1_000_000],
  newTokens: [1, 100_000],
  batch: [1, 256],
  repeat: [1, 1000],
} as const;

/**
 * Fills in defaults. `device`, `weights` and `precision` are checked where the backend is chosen.
 * @throws OptionError for what is out of range, or would not fit into the model's context.
 */
export function resolveBenchmarkOptions(
  options: BenchmarkOptions,
  { language, vision, tiling }: ModelDescription,
): ResolvedBenchmarkOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: ResolvedBenchmarkOptions = {
    device: "auto",
    precision: "fast",
    weights: "checkpoint",
    layers: Math.max(vision.layers, language.layers),
    tiles: 7,
    promptTokens: 64,
    newTokens: 32,
    batch: 1,
    repeat: 3,
    roofline: false,
    ...given,
  };
  for (const [option, [least, most]] of Object.entries(ranges)) {
    const value = resolved[option as keyof typeof ranges];
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new OptionError(option, value, `must be a whole number from ${least} to ${most}`);
    }
  }
  const picture = resolved.tiles * tiling.tokensPerTile;
  const longest = language.contextLength - picture - resolved.newTokens - 1;
  if (resolved.promptTokens > longest) {
    throw new OptionError(
      "promptTokens",
      resolved.promptTokens,
      `with ${picture} tokens of the picture and ${resolved.newTokens} new ones must be at most ${longest}, ` +
        `for the context of ${language.contextLength}`,
    );
  }
  return resolved;
}
