import type { LanguageDescription } from "../checkpoint/description.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import { pickColumns } from "../graph/operations.ts";
import { type Graph, Recorder } from "../graph/recorder.ts";
import type { CacheLayout, Tensor, Weight } from "../graph/tensor.ts";
import { type LanguageLayer, languageNames } from "./language-names.ts";
import { whole } from "./weights.ts";

export interface LanguageWeights {
  /** `[V, D]` */
  embeddings: Weight;
  layers: LanguageLayer[];
  norm: Weight;
  /** `[V, D]`, never tied to the embeddings. */
  output: Weight;
}

export function languageWeights(description: LanguageDescription, store: TensorStore): LanguageWeights {
  const names = languageNames(description);
  return {
    embeddings: whole(store, names.embeddings, "rows"),
    layers: Array.from({ length: description.layers }, (_, i) => names.layer(store, i)),
    norm: whole(store, names.norm),
    output: whole(store, names.output),
  };
}

/** Keys and values are kept as the model has them: `pageSize` tokens a page. */
export function cacheLayout(description: LanguageDescription, pageSize: number): CacheLayout {
  const { layers, keyValueHeads, headSize } = description;
  return { layers, keyValueHeads, headSize, pageSize };
}

/** How large one step is. A program is recorded for each set of sizes that occurs. */
export interface StepSizes {
  /** New tokens, over all sequences. */
  tokens: number;
  /** Rows among them that hold image features. */
  features: number;
  sequences: number;
  /** Pages of the longest sequence. */
  pages: number;
  /** Rows whose logits are wanted; 0 in the middle of a prompt. */
  outputs: number;
  /** What is done with the logits: given back, or chosen from. */
  pick: "logits" | { count: number; penalised: number; suppressed: number };
}

/**
 * The language model (modeling_internlm2.py and its siblings: all are this network) over any mix of sequences, each
 * with any number of new tokens: prefill and decode are the same function.
 *
 * Inputs: `ids` u32 `[N, 1]`; `features` f32 `[M, D]` and `featureRows` u32 `[M, 1]` where there are any; `angles` f32
 * `[N, headSize]` and `slots` u32 `[N, 1]` (see `Rotary`); `starts`, `lengths`, `pages` (see `PagedAttention`);
 * `outputs` u32 `[L, 1]`, the rows whose logits are wanted; for a pick also `settings`, `penalised`, `suppressed`.
 * Outputs: `logits` f32 `[L, V]`, or `tokens` and `scores` `[L, count]`; a single choice also stays on the device as
 * `next`, to be the `ids` of a step that begins before the choice is known here.
 */
export function recordLanguage(
  description: LanguageDescription,
  weights: LanguageWeights,
  cache: CacheLayout,
  sizes: StepSizes,
): Graph {
  const g = new Recorder("language");
  const { hiddenSize, heads, keyValueHeads, headSize, normEpsilon } = description;
  const { tokens: N, features: M, sequences: B, outputs: L } = sizes;
  const angles = g.input("angles", "f32", N, headSize);
  const slots = g.input("slots", "u32", N, 1);
  const starts = g.input("starts", "u32", B + 1, 1);
  const lengths = g.input("lengths", "u32", B, 1);
  const pages = g.input("pages", "u32", B, sizes.pages);

  const outputs = L > 0 ? g.input("outputs", "u32", L, 1) : undefined;
  const wanted = (all: Tensor) => (outputs ? g.gatherRows(all, outputs) : all); // [L, …]

  let x = g.embed(weights.embeddings, g.input("ids", "u32", N, 1)); // [N, D]
  if (M > 0) {
    x = g.scatterRows(x, g.input("features", "f32", M, hiddenSize), g.input("featureRows", "u32", M, 1));
  }
  for (const [layer, w] of weights.layers.entries()) {
    const place = { layer, heads, cache };
    const qkv = g.matmul(g.rmsNorm(x, w.attentionNorm, normEpsilon), w.wqkv, { bias: w.wqkvBias });
    const query = g.columns(qkv, 0, heads * headSize);
    const key = g.columns(qkv, heads * headSize, keyValueHeads * headSize);
    const value = g.columns(qkv, (heads + keyValueHeads) * headSize, keyValueHeads * headSize);
    const rotated = g.rotary({ query, key, value, angles, slots }, place); // keeps k and v in the cache
    const isLast = layer === weights.layers.length - 1;
    if (isLast && L === 0) return g.finish(); // all that was wanted is in the cache
    let mixed = g.pagedAttention({ query: rotated, starts, lengths, pages }, place); // [N, heads * headSize]
    // Behind the last attention no row sees another: those that nothing is asked of can go.
    if (isLast && L < N) [mixed, x] = [wanted(mixed), wanted(x)];
    x = g.matmul(mixed, w.wo, { residual: x });
    const hidden = g.gatedMatmul(g.rmsNorm(x, w.ffnNorm, normEpsilon), w.w1, w.w3); // [N, I]
    x = g.matmul(hidden, w.w2, { residual: x });
  }
  const last = L < N ? x : wanted(x); // [L, D]
  const logits = g.matmul(g.rmsNorm(last, weights.norm, normEpsilon), weights.output); // [L, V]
  recordPick(g, logits, sizes.pick);
  return g.finish();
}

function recordPick(g: Recorder, logits: Tensor, pick: StepSizes["pick"]): void {
  if (pick === "logits") {
    g.output("logits", logits);
    return;
  }
  const list = (name: string, columns: number) =>
    columns > 0 ? g.input(name, "u32", logits.rows, columns) : undefined;
  const { tokens, scores } = g.pickTokens(logits, {
    count: pick.count,
    settings: g.input("settings", "f32", logits.rows, pickColumns.length),
    penalised: list("penalised", pick.penalised),
    suppressed: list("suppressed", pick.suppressed),
  });
  g.output("tokens", tokens);
  g.output("scores", scores);
  if (pick.count === 1) g.output("next", tokens, { stays: true });
}
