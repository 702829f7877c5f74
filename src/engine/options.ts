import { OptionError } from "../errors.ts";

/** How an answer is generated; names and meaning are those of transformers' `generate`. */
export interface GenerationOptions {
  /** At most this many new tokens. Default 1024. */
  maxNewTokens?: number;
  /** No stop before this many new tokens. Default 0. */
  minNewTokens?: number;
  /** Sample instead of always taking the likeliest token. Default false. */
  doSample?: boolean;
  /** With `doSample`: divides the logits. Default 1. */
  temperature?: number;
  /** With `doSample`: keep this many of the likeliest tokens; 0 keeps all. Default 50. */
  topK?: number;
  /** With `doSample`: keep the fewest tokens whose probability reaches this. Default 1. */
  topP?: number;
  /** Above 1, makes tokens that were generated already less likely. Default 1. */
  repetitionPenalty?: number;
  /** More than 1: beam search. Default 1. */
  numBeams?: number;
  /** Exponent of the length by which a sequence's log-probability is divided. Default 1. */
  lengthPenalty?: number;
  /** With beams: stop at enough finished beams (true), when no better is likely (false), or possible ("never"). */
  earlyStopping?: boolean | "never";
  /** Answers to return; needs `doSample`, or beams at least as many. Default 1. */
  numReturnSequences?: number;
  /** With `doSample`: the same seed gives the same answer. Default: a new one each time. */
  seed?: number;
  /** Token ids and texts that end an answer, besides the template's own end. */
  stop?: readonly (number | string)[];
}

export type ResolvedOptions = Required<GenerationOptions>;

const defaults: Omit<ResolvedOptions, "seed"> = {
  maxNewTokens: 1024,
  minNewTokens: 0,
  doSample: false,
  temperature: 1,
  topK: 50,
  topP: 1,
  repetitionPenalty: 1,
  numBeams: 1,
  lengthPenalty: 1,
  earlyStopping: false,
  numReturnSequences: 1,
  stop: [],
};

/** The options that only sampling reads: given without `doSample`, they would be ignored, so they are refused. */
const samplingOnly = ["temperature", "topK", "topP", "seed"] as const;

/** The options that only beam search reads. */
const beamsOnly = ["earlyStopping"] as const;

export const generationOptionNames: ReadonlySet<string> = new Set([...Object.keys(defaults), "seed"]);

/** Fills in defaults and throws an `OptionError` for what is out of range or can not be honoured together. */
export function resolveOptions(options: GenerationOptions, vocabularySize: number): ResolvedOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: ResolvedOptions = { ...defaults, seed: randomSeed(), ...given };
  checkRanges(resolved, vocabularySize);
  checkTogether(resolved, given);
  return resolved;
}

function checkRanges(o: ResolvedOptions, vocabularySize: number): void {
  whole("maxNewTokens", o.maxNewTokens, 1);
  whole("minNewTokens", o.minNewTokens, 0);
  whole("topK", o.topK, 0);
  whole("numBeams", o.numBeams, 1, Math.min(64, Math.floor(vocabularySize / 2)));
  whole("numReturnSequences", o.numReturnSequences, 1, 64);
  whole("seed", o.seed, 0);
  within(
    "temperature",
    o.temperature,
    o.temperature > 0 && o.temperature <= 100,
    "must be above 0 and at most 100",
  );
  within("topP", o.topP, o.topP > 0 && o.topP <= 1, "must be above 0 and at most 1");
  const penalty = o.repetitionPenalty;
  within("repetitionPenalty", penalty, penalty > 0 && penalty <= 100, "must be above 0 and at most 100");
  within("lengthPenalty", o.lengthPenalty, Math.abs(o.lengthPenalty) <= 100, "must lie between -100 and 100");
  within("doSample", o.doSample, typeof o.doSample === "boolean", "must be true or false");
  const early = o.earlyStopping;
  within(
    "earlyStopping",
    early,
    typeof early === "boolean" || early === "never",
    'must be true, false or "never"',
  );
  within("stop", o.stop, Array.isArray(o.stop), "must be a list of token ids and texts");
  for (const stop of o.stop) {
    if (typeof stop === "number") whole("stop", stop, 0, vocabularySize - 1);
    else
      within(
        "stop",
        stop,
        typeof stop === "string" && stop !== "",
        "must hold token ids and texts that are not empty",
      );
  }
}

function checkTogether(o: ResolvedOptions, given: GenerationOptions): void {
  const refuse = (option: keyof GenerationOptions, why: string) => {
    throw new OptionError(option, given[option], why);
  };
  if (o.minNewTokens > o.maxNewTokens)
    refuse("minNewTokens", `must not exceed maxNewTokens (${o.maxNewTokens})`);
  if (!o.doSample) {
    for (const option of samplingOnly) {
      if (given[option] !== undefined)
        refuse(option, "is only read with doSample: true; add it, or leave this out");
    }
  }
  if (o.numBeams === 1) {
    for (const option of beamsOnly) {
      if (given[option] !== undefined) refuse(option, "is only read with numBeams above 1");
    }
    if (o.numReturnSequences > 1 && !o.doSample) {
      refuse("numReturnSequences", "above 1 needs doSample: true, or numBeams at least as large");
    }
    return;
  }
  if (o.doSample) refuse("numBeams", "can not be combined with doSample: true");
  if (o.numReturnSequences > o.numBeams)
    refuse("numReturnSequences", `must not exceed numBeams (${o.numBeams})`);
  if (o.stop.some((stop) => typeof stop === "string")) {
    refuse("stop", "can hold token ids only with numBeams above 1, not texts");
  }
}

function whole(option: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): void {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  within(
    option,
    value,
    Number.isSafeInteger(value) && value >= least && value <= most,
    `must be a whole number ${range}`,
  );
}

function within(option: string, value: unknown, holds: boolean, rule: string): void {
  if (!holds) throw new OptionError(option, value, rule);
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}
