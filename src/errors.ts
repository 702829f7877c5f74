/**
 * Every error this library throws on purpose. Each is a class of its own, carries the values that explain it as
 * fields, and says in its message what was wrong and what to do about it.
 */

/** The common ancestor: `catch (e) { if (e instanceof InternVLError) … }`. `code` is stable, `message` is for people. */
export abstract class InternVLError extends Error {
  abstract readonly code: string;
  // Each class writes its name out, for minified code calls classes something else.
  abstract override readonly name: string;
}

/** A file or folder that should be there is not, or is not what it should be (a regular file, inside its folder). */
export class FileError extends InternVLError {
  override readonly name = "FileError";
  readonly code = "FILE";
  readonly file: string;

  constructor(file: string, problem: string, options?: ErrorOptions) {
    super(`${file}: ${problem}`, options);
    this.file = file;
  }
}

/** A file of a checkpoint breaks its format. `where` names the tensor, field or byte range when one is to blame. */
export class CheckpointError extends InternVLError {
  override readonly name = "CheckpointError";
  readonly code = "CHECKPOINT";
  readonly file: string;
  readonly where: string | undefined;

  constructor(file: string, problem: string, where?: string, options?: ErrorOptions) {
    super(where === undefined ? `${file}: ${problem}` : `${file}: ${where}: ${problem}`, options);
    this.file = file;
    this.where = where;
  }
}

/** `config.json` describes something this library does not run, or contradicts itself. */
export class ConfigError extends InternVLError {
  override readonly name = "ConfigError";
  readonly code = "CONFIG";
  /** The path of the field to blame, for example `llm_config.num_attention_heads`. */
  readonly field: string;

  constructor(field: string, problem: string) {
    super(`config.json: ${field}: ${problem}`);
    this.field = field;
  }
}

/** A tokenizer file cannot be read, or text or ids cannot be turned into the other. */
export class TokenizerError extends InternVLError {
  override readonly name = "TokenizerError";
  readonly code = "TOKENIZER";
  readonly file: string;

  constructor(file: string, problem: string, options?: ErrorOptions) {
    super(`${file}: ${problem}`, options);
    this.file = file;
  }
}

/** Bytes that should be a picture or a clip are not one, or are one beyond the limits. */
export class MediaError extends InternVLError {
  override readonly name = "MediaError";
  readonly code = "MEDIA";
  /** What was being read: a path, a URL, or `bytes`. */
  readonly source: string;

  constructor(source: string, problem: string, options?: ErrorOptions) {
    super(`${source}: ${problem}`, options);
    this.source = source;
  }
}

/** The hub refused, vanished, or sent something other than what it promised. */
export class HubError extends InternVLError {
  override readonly name = "HubError";
  readonly code = "HUB";
  readonly repository: string;
  readonly file: string | undefined;
  readonly status: number | undefined;

  constructor(
    repository: string,
    problem: string,
    details: { file?: string; status?: number } & ErrorOptions = {},
  ) {
    const subject = details.file === undefined ? repository : `${repository}/${details.file}`;
    super(`${subject}: ${problem}`, details);
    this.repository = repository;
    this.file = details.file;
    this.status = details.status;
  }
}

/** Why a checkpoint's address did not give what it should. */
export type DownloadFailure =
  | "missing" // the server has no such file
  | "refused" // it does not give it to us
  | "html" // it gave a web page in place of the file
  | "ranges" // it gives whole files only
  | "changed" // the file is not the one that was opened
  | "unreachable" // no answer, or only failures
  | "offline"
  | "cors"; // the server does not let this page read it

/** A file of a checkpoint could not be had from its address. */
export class DownloadError extends InternVLError {
  override readonly name = "DownloadError";
  readonly code = "DOWNLOAD";
  readonly url: string;
  readonly reason: DownloadFailure;
  readonly status: number | undefined;

  constructor(
    url: string,
    reason: DownloadFailure,
    problem: string,
    details: { status?: number } & ErrorOptions = {},
  ) {
    super(`${url}: ${problem}`, details);
    this.url = url;
    this.reason = reason;
    this.status = details.status;
  }
}

/** An option is out of its range, or asks for something that cannot be honoured. */
export class OptionError extends InternVLError {
  override readonly name = "OptionError";
  readonly code = "OPTION";
  readonly option: string;
  readonly value: unknown;

  constructor(option: string, value: unknown, problem: string) {
    super(`${option}: ${problem} (got ${describe(value)})`);
    this.option = option;
    this.value = value;
  }
}

/** The question and its pictures do not belong together: more `<image>` marks than pictures, or fewer. */
export class PromptError extends InternVLError {
  override readonly name = "PromptError";
  readonly code = "PROMPT";
}

/** The prompt is longer than the model's context. */
export class ContextLengthError extends InternVLError {
  override readonly name = "ContextLengthError";
  readonly code = "CONTEXT_LENGTH";
  readonly tokens: number;
  readonly limit: number;

  constructor(tokens: number, limit: number, remedy: string) {
    super(`the prompt has ${tokens} tokens, ${tokens - limit} more than the context of ${limit}: ${remedy}`);
    this.tokens = tokens;
    this.limit = limit;
  }
}

/** Tensors of the wrong shape met each other: the message says what was wanted and what came. */
export class ShapeError extends InternVLError {
  override readonly name = "ShapeError";
  readonly code = "SHAPE";
}

/** A NaN reached the logits. */
export class NumericError extends InternVLError {
  override readonly name = "NumericError";
  readonly code = "NUMERIC";
}

/** The device asked for is not here, or cannot do what was asked. */
export class DeviceError extends InternVLError {
  override readonly name = "DeviceError";
  readonly code = "DEVICE";
  readonly device: string;

  constructor(device: string, problem: string, options?: ErrorOptions) {
    super(`${device}: ${problem}`, options);
    this.device = device;
  }
}

/** A model would not fit into the memory that is free. */
export class MemoryError extends InternVLError {
  override readonly name = "MemoryError";
  readonly code = "MEMORY";
  /** Bytes. */
  readonly needed: number;
  readonly free: number;

  constructor(needed: number, free: number, remedy: string) {
    super(`the weights need ${gigabytes(needed)}, and ${gigabytes(free)} are free: ${remedy}`);
    this.needed = needed;
    this.free = free;
  }
}

/** The model was disposed, and then used. */
export class DisposedError extends InternVLError {
  override readonly name = "DisposedError";
  readonly code = "DISPOSED";
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (value === null || typeof value !== "object") return String(value);
  try {
    return JSON.stringify(value).slice(0, 200);
  } catch {
    return "an object";
  }
}
