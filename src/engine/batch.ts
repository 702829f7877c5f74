import type { Input, Rows } from "../backend/backend.ts";
import { noToken, pickColumns } from "../graph/operations.ts";
import type { CacheLayout } from "../graph/tensor.ts";
import type { StepSizes } from "../model/language.ts";
import type { Rope } from "../model/rope.ts";
import type { PickRule } from "./generation.ts";
import type { PromptFeatures } from "./prompt-features.ts";
import type { Sequence } from "./sequence.ts";

/** What one sequence contributes to a step: its next `count` tokens, and what is wanted of the last one's logits. */
export interface BatchEntry {
  readonly sequence: Sequence;
  readonly features: PromptFeatures;
  readonly count: number;
  /** The logits themselves, or one choice for each rule; no rules while a prompt is not at its end. */
  readonly wants: "logits" | readonly PickRule[];
}

export interface Batch {
  readonly sizes: StepSizes;
  readonly inputs: Record<string, Input>;
}

/**
 * The inputs of a step over any mix of sequences (see `recordLanguage`). Lists and page tables are rounded up in size,
 * so that a growing conversation does not need a new program at every token.
 * @param next where the ids are, when this computer does not know them yet: one token of each sequence
 */
export function buildBatch(
  entries: readonly BatchEntry[],
  cache: CacheLayout,
  rope: Rope,
  next?: Rows,
): Batch {
  const tokens = entries.reduce((sum, { count }) => sum + count, 0);
  const pages = roundUp(Math.max(...entries.map(({ sequence }) => sequence.pages.length)), 8);
  const ids = new Uint32Array(tokens);
  const angles = new Float32Array(tokens * cache.headSize);
  const slots = new Uint32Array(tokens);
  const starts = new Uint32Array(entries.length + 1);
  const lengths = new Uint32Array(entries.length);
  const table = new Uint32Array(entries.length * pages);
  const features: Rows[] = [];
  const featureRows: number[] = [];
  const outputs: number[] = [];
  let row = 0;
  entries.forEach(({ sequence, features: held, count, wants }, b) => {
    starts[b] = row;
    lengths[b] = sequence.computed + count;
    table.set(sequence.pages, b * pages);
    features.push(...held.between(sequence.computed, sequence.computed + count));
    for (let position = sequence.computed; position < sequence.computed + count; position++, row++) {
      ids[row] = sequence.tokens[position];
      const page = sequence.pages[Math.floor(position / cache.pageSize)];
      slots[row] = page * cache.pageSize + (position % cache.pageSize);
      const turn = angles.subarray(row * cache.headSize, (row + 1) * cache.headSize);
      rope.angles(position, sequence.ropeLength(position), turn);
      if ((sequence.prompt.featureRows[position] ?? -1) >= 0) featureRows.push(row);
    }
    for (let i = 0; i < (wants === "logits" ? 1 : wants.length); i++) outputs.push(row - 1);
  });
  starts[entries.length] = row;

  const inputs: Record<string, Input> = {
    ids: next ? [next] : ids,
    angles,
    slots,
    starts,
    lengths,
    pages: table,
  };
  if (featureRows.length > 0) {
    inputs.features = features;
    inputs.featureRows = Uint32Array.from(featureRows);
  }
  if (outputs.length > 0) inputs.outputs = Uint32Array.from(outputs);
  const rules = entries.flatMap(({ wants }) => (wants === "logits" ? [] : wants));
  const sizes = {
    tokens,
    features: featureRows.length,
    sequences: entries.length,
    pages,
    outputs: outputs.length,
  };
  if (rules.length === 0) return { sizes: { ...sizes, pick: "logits" }, inputs };
  const lists = { ...listInput("penalised", rules), ...listInput("suppressed", rules) };
  const pick = {
    count: Math.max(...rules.map(({ count }) => count)),
    penalised: (lists.penalised?.length ?? 0) / rules.length,
    suppressed: (lists.suppressed?.length ?? 0) / rules.length,
  };
  return { sizes: { ...sizes, pick }, inputs: { ...inputs, ...lists, settings: settingsOf(rules) } };
}

/** `[rules, 6]`: see `pickColumns`. */
function settingsOf(rules: readonly PickRule[]): Float32Array {
  return Float32Array.from(rules.flatMap((rule) => pickColumns.map((column) => Number(rule[column]))));
}

/** One list of ids a rule, padded to one width; nothing when all are empty. */
function listInput(
  name: "penalised" | "suppressed",
  rules: readonly PickRule[],
): { [key in typeof name]?: Uint32Array } {
  const longest = Math.max(...rules.map((rule) => rule[name].length));
  if (longest === 0) return {};
  const width = roundUp(longest, 64);
  const list = new Uint32Array(rules.length * width).fill(noToken);
  rules.forEach((rule, i) => {
    list.set(rule[name], i * width);
  });
  return { [name]: list };
}

/** The next multiple of `step` times a power of two: few different sizes, at most twice what is needed. */
function roundUp(size: number, step: number): number {
  let rounded = step;
  while (rounded < size) rounded *= 2;
  return rounded;
}
