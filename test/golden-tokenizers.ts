import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createTokenizer, type Tokenizer, tokenizerFiles } from "../src/text/tokenizer.ts";

/** What a reference implementation made of texts with one of the golden tokenizers. */
export interface ExpectedTokens {
  readonly text: string;
  readonly ids: readonly number[];
  readonly decoded: string;
}

interface ExpectedCase {
  readonly name: string;
  readonly query_without_context: string;
  readonly input_ids_runs: readonly (readonly [number, number])[];
  readonly greedy: readonly number[];
  readonly greedy_text: string;
}

export const goldenModels = ["tiny-1b", "tiny-2b", "tiny-4b", "tiny-8b", "tiny-26b", "tiny-76b", "tiny-v1"];

export function goldenFolder(model: string): string {
  return join(import.meta.dirname, "golden/models", model);
}

export function readTokenizerFiles(folder: string): Map<string, Uint8Array> {
  const present = tokenizerFiles.filter((name) => existsSync(join(folder, name)));
  return new Map(present.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]));
}

export function goldenTokenizer(model: string): Tokenizer {
  return createTokenizer(readTokenizerFiles(goldenFolder(model)));
}

export function readExpected(model: string): { tokenizer: ExpectedTokens[]; cases: ExpectedCase[] } {
  return JSON.parse(readFileSync(join(goldenFolder(model), "expected.json"), "utf8"));
}

/** The real tokenizer of InternVL2-2B, 8B and 26B, where a copy lies beside the checkout; its files are not ours to ship. */
export const realTokenizerFolder = join(import.meta.dirname, "../../shared/data/internvl2-2b");
