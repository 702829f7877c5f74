import { TokenizerError } from "../errors.ts";

/** File name to content, for whichever of the tokenizer's files a checkpoint has. */
export type TokenizerFiles = ReadonlyMap<string, Uint8Array>;

export type JsonObject = { readonly [key: string]: unknown };

/** The file as text. Errors: `TokenizerError` when it is absent or not UTF-8. */
export function readText(files: TokenizerFiles, name: string): string {
  const bytes = files.get(name);
  if (bytes === undefined) throw new TokenizerError(name, "is missing; download the checkpoint again");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new TokenizerError(name, "is not UTF-8 text; download it again", { cause });
  }
}

/** The file as a JSON object. Errors: `TokenizerError` when it is absent, not JSON, or JSON of another kind. */
export function readJson(files: TokenizerFiles, name: string): JsonObject {
  const text = readText(files, name);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TokenizerError(name, "is not JSON; download it again", { cause });
  }
  return asObject(value, name, "the file");
}

export function asObject(value: unknown, file: string, where: string): JsonObject {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new TokenizerError(file, `${where} must be a JSON object`);
  }
  return value as JsonObject;
}

export function asArray(value: unknown, file: string, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new TokenizerError(file, `${where} must be a list`);
  return value;
}

export function asString(value: unknown, file: string, where: string): string {
  if (typeof value !== "string") throw new TokenizerError(file, `${where} must be a string`);
  return value;
}

/** A flag that may be absent or null. */
export function asFlag(value: unknown, file: string, where: string): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") throw new TokenizerError(file, `${where} must be true or false`);
  return value;
}

/** Far above any published vocabulary, and small enough that a table of this length is harmless. */
const idLimit = 1 << 24;

export function asId(value: unknown, file: string, where: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= idLimit) {
    throw new TokenizerError(file, `the id of ${where} must be a whole number below ${idLimit}`);
  }
  return value;
}
