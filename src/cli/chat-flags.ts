import { builtInName } from "../chat/built-in-model.node.ts";
import type { LoadOptions } from "../chat/load.ts";
import type { PictureOptions } from "../chat/pictures.ts";
import { type GenerationOptions, resolveOptions } from "../engine/options.ts";
import type { CommonFlags } from "./program.ts";
import { UsageError } from "./usage.ts";

export interface ChatFlags extends CommonFlags {
  model?: string;
  image?: string[];
  video?: string;
  segments?: number;
  bound?: [number, number];
  maxTiles?: number;
  minTiles?: number;
  system?: string;
  maxTokens?: number;
  minTokens?: number;
  temp?: number;
  topK?: number;
  topP?: number;
  seed?: number;
  repetitionPenalty?: number;
  beams?: number;
  lengthPenalty?: number;
  stop?: string[];
  resume?: string;
  device?: string;
  precision?: string;
  weights?: string;
  context?: number;
  cacheTokens?: number;
  revision?: string;
  offline?: boolean;
}

/**
 * The model that is meant: by the flag, else by `INTERNVL_MODEL`, else by the conversation that is resumed, else the
 * built-in one.
 */
export function modelOf(
  flags: { model?: string },
  env: Readonly<Record<string, string | undefined>>,
  resumed?: string,
): string {
  return flags.model ?? (env.INTERNVL_MODEL || undefined) ?? resumed ?? builtInName;
}

export function loadOptionsOf(flags: ChatFlags): LoadOptions {
  return {
    device: flags.device as LoadOptions["device"],
    precision: flags.precision as LoadOptions["precision"],
    weights: flags.weights as LoadOptions["weights"],
    contextLength: flags.context,
    cacheTokens: flags.cacheTokens,
    revision: flags.revision,
    offline: flags.offline,
  };
}

/**
 * @throws OptionError for what is out of its range, before any model is loaded
 */
export function generationOptionsOf(flags: ChatFlags): GenerationOptions {
  const { temp, topK, topP, seed, beams } = flags;
  const samples = temp !== undefined || topK !== undefined || topP !== undefined;
  if (seed !== undefined && !samples) {
    throw new UsageError(
      "--seed: is only read when sampling; add --temp, --top-k or --top-p, or leave it out",
    );
  }
  if (flags.lengthPenalty !== undefined && (beams ?? 1) === 1) {
    throw new UsageError("--length-penalty: is only read with --beams above 1; add it, or leave this out");
  }
  const options: GenerationOptions = {
    maxNewTokens: flags.maxTokens,
    minNewTokens: flags.minTokens,
    doSample: samples || undefined,
    temperature: temp,
    topK,
    topP,
    seed,
    repetitionPenalty: flags.repetitionPenalty,
    numBeams: beams,
    lengthPenalty: flags.lengthPenalty,
    stop: flags.stop,
  };
  resolveOptions(options, Number.MAX_SAFE_INTEGER);
  return options;
}

export function pictureOptionsOf({ maxTiles, minTiles }: ChatFlags): PictureOptions {
  return { maxTiles, minTiles };
}
