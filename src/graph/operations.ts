import type { CacheLayout, Tensor, Weight } from "./tensor.ts";

/**
 * The operations a model is made of, and what each promises. A backend implements exactly these.
 * All arithmetic accumulates in f32 or wider; `[a, b]` is rows by columns.
 */
export type Operation =
  | Embed
  | ScatterRows
  | Patches
  | Matmul
  | GatedMatmul
  | LayerNorm
  | RmsNorm
  | Rotary
  | Attention
  | PagedAttention
  | GatherRows
  | PickTokens;

/** `output[n] = table[ids[n]]`. table `[V, D]`, ids u32 `[N, 1]`, output `[N, D]`. */
export interface Embed {
  readonly kind: "embed";
  readonly table: Weight;
  readonly ids: Tensor;
  readonly output: Tensor;
}

/** `target[rows[m]] = source[m]`, in place. target `[N, D]`, source `[M, D]`, rows u32 `[M, 1]`, each row once. */
export interface ScatterRows {
  readonly kind: "scatterRows";
  readonly target: Tensor;
  readonly source: Tensor;
  readonly rows: Tensor;
}

/**
 * Cuts tiles into normalised patch rows. tiles u8 `[T, S * S * 3]`, each tile RGB row by row; with g = S / P patches a
 * side, output `[T * (1 + g * g), 3 * P * P]`: for each tile one row of zeros (the class token's place), then the
 * patches row-major, each laid out as the checkpoint's convolution has it (channel, y, x), every value
 * `(u8 / 255 - mean[c]) / deviation[c]`.
 */
export interface Patches {
  readonly kind: "patches";
  readonly tiles: Tensor;
  readonly tileSize: number;
  readonly patchSize: number;
  readonly mean: readonly [number, number, number];
  readonly deviation: readonly [number, number, number];
  readonly output: Tensor;
}

/** `gelu` is the exact one: `x / 2 · (1 + erf(x / √2))`. */
export type Activation = "gelu";

/**
 * `output = activation(input · weightᵀ + bias) ⊙ scale + residual + table[row mod table.rows]`, each part but the
 * product optional. input `[N, K]`, weight `[M, K]`, bias and scale `[M, 1]`, residual and output `[N, M]`,
 * table `[R, M]`.
 */
export interface Matmul {
  readonly kind: "matmul";
  readonly input: Tensor;
  readonly weight: Weight;
  readonly bias?: Weight;
  readonly activation?: Activation;
  readonly scale?: Weight;
  readonly residual?: Tensor;
  readonly table?: Weight;
  readonly output: Tensor;
}

/** SwiGLU: `output = silu(input · gateᵀ) ⊙ (input · upᵀ)`. input `[N, K]`, gate and up `[M, K]`, output `[N, M]`. */
export interface GatedMatmul {
  readonly kind: "gatedMatmul";
  readonly input: Tensor;
  readonly gate: Weight;
  readonly up: Weight;
  readonly output: Tensor;
}

/** Over each row: `(x - mean) / √(variance + epsilon) · weight + bias`, variance biased. All `[N, D]`, weights `[D, 1]`. */
export interface LayerNorm {
  readonly kind: "layerNorm";
  readonly input: Tensor;
  readonly weight: Weight;
  readonly bias: Weight;
  readonly epsilon: number;
  readonly output: Tensor;
}

/** Over each row: `x / √(mean(x²) + epsilon) · weight`. input and output `[N, D]`, weight `[D, 1]`. */
export interface RmsNorm {
  readonly kind: "rmsNorm";
  readonly input: Tensor;
  readonly weight: Weight;
  readonly epsilon: number;
  readonly output: Tensor;
}

/**
 * Turns q and k by their position's angles, and keeps k and v. With d = headSize and h = d / 2, for each head of row n:
 * `out[i] = x[i] · cos[i] - x[i + h] · sin[i]`, `out[i + h] = x[i + h] · cos[i] + x[i] · sin[i]`, where
 * `angles[n] = [cos₀ … cos_{h-1} | sin₀ … sin_{h-1}]`. Rotated k and plain v go to the cache's `layer`, at slot
 * `slots[n]` = page · pageSize + offset. query `[N, heads * d]`, key and value `[N, keyValueHeads * d]`, angles f32
 * `[N, d]`, slots u32 `[N, 1]`; output is the rotated q, `[N, heads * d]`.
 */
export interface Rotary {
  readonly kind: "rotary";
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly angles: Tensor;
  readonly slots: Tensor;
  readonly layer: number;
  readonly heads: number;
  readonly cache: CacheLayout;
  readonly output: Tensor;
}

/**
 * Full attention inside each group of `groupRows` rows (a tile), softmax in f32, scores times `1 / √headSize`.
 * query, key, value and output `[G * groupRows, heads * headSize]`.
 */
export interface Attention {
  readonly kind: "attention";
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly heads: number;
  readonly headSize: number;
  readonly groupRows: number;
  readonly output: Tensor;
}

/**
 * Causal attention of new tokens over cached ones, for B sequences of any lengths at once. Sequence b owns the query
 * rows `starts[b] … starts[b + 1] - 1`, its last new token stands at position `lengths[b] - 1`, and its position p is
 * found at slot `pages[b][p / pageSize] · pageSize + p mod pageSize`. Head n reads key-value head
 * `n / (heads / keyValueHeads)`. query and output `[N, heads * headSize]`, starts u32 `[B + 1, 1]`, lengths u32
 * `[B, 1]`, pages u32 `[B, P]`. The keys of the new tokens are in the cache already.
 */
export interface PagedAttention {
  readonly kind: "pagedAttention";
  readonly query: Tensor;
  readonly starts: Tensor;
  readonly lengths: Tensor;
  readonly pages: Tensor;
  readonly layer: number;
  readonly heads: number;
  readonly cache: CacheLayout;
  readonly output: Tensor;
}

/** `output[m] = [input[rows[m][0]] | input[rows[m][1]] | …]`. input `[N, C]`, rows u32 `[M, P]`, output `[M, P * C]`. */
export interface GatherRows {
  readonly kind: "gatherRows";
  readonly input: Tensor;
  readonly rows: Tensor;
  readonly output: Tensor;
}

/** Stands in the lists of `PickTokens` where a row has fewer entries, and in its answer where logits held a NaN. */
export const noToken = 0xffffffff;

/** The columns of `PickTokens.settings`. */
export const pickColumns = ["beams", "temperature", "topK", "topP", "repetitionPenalty", "draw"] as const;

/**
 * Chooses from each row of logits `[B, V]`; the meaning of each rule is transformers' logits processor of that name.
 *
 * `beams` 0, a sample: one token, in column 0. The ids in `penalised` have their logit divided (if positive) or
 * multiplied (if negative) by repetitionPenalty, those in `suppressed` can not be chosen. temperature 0 takes the
 * largest (the lowest id among equals). Otherwise logits are divided by temperature, cut to the topK largest (0 = all),
 * then to the fewest whose probability reaches topP, and the token is the one at which the running sum of the remaining
 * probabilities, in falling order, passes `draw` ∈ [0, 1) of their total. Its score is its log-probability before any
 * rule.
 *
 * `beams` 1: the `count` largest log-probabilities, in falling order, after the same two lists were applied to the
 * log-probabilities; temperature, topK, topP and draw are not read.
 *
 * settings f32 `[B, 6]` (`pickColumns`), penalised and suppressed u32 `[B, any]` padded with `noToken`; tokens u32 and
 * scores f32 `[B, count]`. A row with a NaN answers `noToken`.
 */
export interface PickTokens {
  readonly kind: "pickTokens";
  readonly logits: Tensor;
  readonly settings: Tensor;
  readonly penalised?: Tensor;
  readonly suppressed?: Tensor;
  readonly count: number;
  readonly tokens: Tensor;
  readonly scores: Tensor;
}

/** The tensors an operation reads. */
export function readsOf(operation: Operation): Tensor[] {
  switch (operation.kind) {
    case "embed":
      return [operation.ids];
    case "scatterRows":
      return [operation.target, operation.source, operation.rows];
    case "patches":
      return [operation.tiles];
    case "matmul":
      return operation.residual ? [operation.input, operation.residual] : [operation.input];
    case "gatedMatmul":
    case "layerNorm":
    case "rmsNorm":
      return [operation.input];
    case "rotary":
      return [operation.query, operation.key, operation.value, operation.angles, operation.slots];
    case "attention":
      return [operation.query, operation.key, operation.value];
    case "pagedAttention":
      return [operation.query, operation.starts, operation.lengths, operation.pages];
    case "gatherRows":
      return [operation.input, operation.rows];
    case "pickTokens":
      return [operation.logits, operation.settings, operation.penalised, operation.suppressed].filter(
        (tensor) => tensor !== undefined,
      );
  }
}

/** The tensors an operation writes. */
export function writesOf(operation: Operation): Tensor[] {
  if (operation.kind === "pickTokens") return [operation.tokens, operation.scores];
  return [operation.kind === "scatterRows" ? operation.target : operation.output];
}

/** The parameters an operation reads. */
export function weightsOf(operation: Operation): Weight[] {
  switch (operation.kind) {
    case "embed":
      return [operation.table];
    case "matmul":
      return [operation.weight, operation.bias, operation.scale, operation.table].filter(
        (weight) => weight !== undefined,
      );
    case "gatedMatmul":
      return [operation.gate, operation.up];
    case "layerNorm":
      return [operation.weight, operation.bias];
    case "rmsNorm":
      return [operation.weight];
    case "scatterRows":
    case "gatherRows":
    case "patches":
    case "rotary":
    case "attention":
    case "pagedAttention":
    case "pickTokens":
      return [];
  }
}
