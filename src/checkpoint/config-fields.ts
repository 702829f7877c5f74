/** Reads the fields of one JSON object of `config.json`, each checked, each blamed by its path when it is wrong. */

import { ConfigError } from "../errors.ts";

/** What is supported, in the words of the checkpoints' names. Part of every refusal of a foreign config. */
export const FAMILIES =
  "supported are the InternVL2 checkpoints with these language models: Qwen2ForCausalLM (1B), " +
  "InternLM2ForCausalLM (2B, 8B, 26B), Phi3ForCausalLM (4B) and LlamaForCausalLM (40B, Llama3-76B)";

/** Limits far above any published checkpoint: a size beyond them is damage, not a model. */
export const LIMITS = { width: 1 << 20, layers: 1024, heads: 4096, pixels: 1 << 14, vocabulary: 1 << 24 };

export class Fields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new ConfigError(
        path || "the whole file",
        `has to be a JSON object, got ${show(value)}; ${FAMILIES}`,
      );
    this.#object = value as Record<string, unknown>;
    this.#path = path;
  }

  /** The field as it stands; undefined when absent or null, which the published classes treat alike. */
  value(name: string): unknown {
    return Object.hasOwn(this.#object, name) ? (this.#object[name] ?? undefined) : undefined;
  }

  has(name: string): boolean {
    return this.value(name) !== undefined;
  }

  path(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  /** An error about this field that ends with what was got. */
  wrong(name: string, problem: string): ConfigError {
    const got = this.has(name) ? show(this.value(name)) : "nothing";
    return new ConfigError(this.path(name), `${problem}, got ${got}`);
  }

  /** A nested object; an absent one is an error, for none of ours has a usable default. */
  object(name: string): Fields {
    return new Fields(this.value(name), this.path(name));
  }

  /** A whole number from `least` to `most`. */
  integer(name: string, absent: number, least: number, most: number): number {
    const value = this.value(name) ?? absent;
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most)
      throw this.wrong(name, `has to be a whole number from ${least} to ${most}`);
    return value as number;
  }

  /** A finite number above zero. */
  positive(name: string, absent: number): number {
    const value = this.value(name) ?? absent;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
      throw this.wrong(name, "has to be a number above 0");
    return value;
  }

  boolean(name: string, absent: boolean): boolean {
    const value = this.value(name) ?? absent;
    if (typeof value !== "boolean") throw this.wrong(name, "has to be true or false");
    return value;
  }

  /** One of a few strings. `why` says more about the choice, where more can be said. */
  choice<T extends string>(name: string, absent: T, choices: readonly T[], why = ""): T {
    const value = this.value(name) ?? absent;
    if (!choices.includes(value as T))
      throw this.wrong(name, `has to be ${choices.map((choice) => `"${choice}"`).join(" or ")}${why}`);
    return value as T;
  }

  /** A list of `length` finite numbers above zero. */
  positives(name: string, length: number): number[] {
    const value = this.value(name);
    const good = (x: unknown) => typeof x === "number" && Number.isFinite(x) && x > 0;
    if (!Array.isArray(value) || value.length !== length || !value.every(good)) {
      const got = Array.isArray(value) ? `, and this list has ${value.length}` : "";
      throw this.wrong(name, `has to be a list of ${length} numbers above 0${got}`);
    }
    return [...(value as number[])];
  }

  /** Refuses a field that asks for something the network here does not do. */
  refuse(name: string, asked: boolean, problem: string): void {
    if (asked) throw this.wrong(name, problem);
  }
}

/** A value as short JSON. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch {
    // Nested deeper than the stack.
    text = Array.isArray(value) ? "a list" : "an object";
  }
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
