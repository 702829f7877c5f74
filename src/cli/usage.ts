import { ContextLengthError, type InternVLError, OptionError } from "../errors.ts";

/** The command was called in a way that cannot be followed. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The flag that sets an option of the library. */
const flags: Readonly<Record<string, string>> = {
  source: "--model",
  images: "--image",
  systemMessage: "--system",
  maxNewTokens: "--max-tokens",
  minNewTokens: "--min-tokens",
  doSample: "--temp",
  temperature: "--temp",
  topK: "--top-k",
  topP: "--top-p",
  repetitionPenalty: "--repetition-penalty",
  numBeams: "--beams",
  lengthPenalty: "--length-penalty",
  maxTiles: "--max-tiles",
  minTiles: "--min-tiles",
  tileSize: "--tile-size",
  contextLength: "--context",
  cacheTokens: "--cache-tokens",
  seed: "--seed",
  stop: "--stop",
  video: "--video",
  segments: "--segments",
  bound: "--bound",
  precision: "--precision",
  device: "--device",
  weights: "--weights",
  shape: "--shape",
  layers: "--layers",
  tiles: "--tiles",
  promptTokens: "--prompt-tokens",
  newTokens: "--new-tokens",
  batch: "--batch",
  repeat: "--repeat",
  revision: "--revision",
};

/** Names that are no English words can be found in the middle of a message. */
const unmistakable = new RegExp(
  `\\b(${Object.keys(flags)
    .filter((name) => /[A-Z]/.test(name))
    .join("|")})\\b`,
  "g",
);

/** The library's message about its options, in the words of the command line. */
export function messageOf(error: InternVLError): string {
  if (!(error instanceof OptionError || error instanceof ContextLengthError)) return error.message;
  let { message } = error;
  if (error instanceof OptionError && message.startsWith(`${error.option}: `)) {
    const flag = flags[error.option] ?? error.option;
    message = flag + message.slice(error.option.length);
  }
  return message.replace("doSample: true", "sampling (--temp)").replace(unmistakable, (name) => flags[name]);
}

/** Reads the value of a flag as a number. Ranges are the library's to check. */
export function numberOf(flag: string): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (Number.isFinite(value)) return value;
    throw new UsageError(`${flag}: must be a number (got ${JSON.stringify(text)})`);
  };
}

/** `2,10`: seconds from and to. */
export function boundOf(text: string): [number, number] {
  const parts = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (parts.length === 2 && parts.every((part) => part >= 0) && parts[0] <= parts[1]) {
    return [parts[0], parts[1]];
  }
  throw new UsageError(`--bound: must be START,END in seconds, such as 2,10 (got ${JSON.stringify(text)})`);
}

/** For flags that may be given several times. */
export function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}
