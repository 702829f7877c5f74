import type { ModelDescription } from "../checkpoint/description.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import type { Recorder } from "../graph/recorder.ts";
import type { Tensor, Weight } from "../graph/tensor.ts";
import { whole } from "./weights.ts";

/** `nn.LayerNorm`'s own epsilon: the checkpoint names none for `mlp1.0`. */
const epsilon = 1e-5;

/** `mlp1`: LayerNorm, Linear, GELU, Linear. */
export interface ProjectorWeights {
  norm: Weight;
  normBias: Weight;
  linear1: Weight;
  linear1Bias: Weight;
  linear2: Weight;
  linear2Bias: Weight;
}

export function projectorWeights(store: TensorStore): ProjectorWeights {
  return {
    norm: whole(store, "mlp1.0.weight"),
    normBias: whole(store, "mlp1.0.bias"),
    linear1: whole(store, "mlp1.1.weight"),
    linear1Bias: whole(store, "mlp1.1.bias"),
    linear2: whole(store, "mlp1.3.weight"),
    linear2Bias: whole(store, "mlp1.3.bias"),
  };
}

/**
 * From patch states to embeddings of the language model (`extract_feature` of modeling_internvl_chat.py): drops the
 * class token, puts each square of patches side by side, and maps that to the language model's width.
 *
 * @param states `[T * (1 + g * g), H]`
 * @returns `[T * tokensPerTile, D]`
 */
export function recordProjector(
  g: Recorder,
  description: ModelDescription,
  weights: ProjectorWeights,
  states: Tensor,
): Tensor {
  const { projector, tiling, vision } = description;
  const side = tiling.tileSize / vision.patchSize;
  const tiles = states.rows / (1 + side * side);
  const rows = shuffleRows(tiles, side, projector.shuffleFactor, projector.pixelShuffle);
  const merged = g.gatherRows(
    states,
    g.constant(rows, tiles * tiling.tokensPerTile, projector.shuffleFactor ** 2),
  ); // [T * tokensPerTile, 4H]
  const normed = g.layerNorm(merged, weights.norm, weights.normBias, epsilon);
  const hidden = g.matmul(normed, weights.linear1, { bias: weights.linear1Bias, activation: "gelu" });
  return g.matmul(hidden, weights.linear2, { bias: weights.linear2Bias });
}

/**
 * Which rows of the tower's states each token is made of (`pixel_shuffle`). With factor f, v2's token (r, q) of a tile
 * takes patches (f·r + i, f·q + j), i before j; v1 has the same tokens with r and q exchanged.
 *
 * @returns u32 `[tiles * (side / factor)², factor²]`
 */
export function shuffleRows(
  tiles: number,
  side: number,
  factor: number,
  version: "v1" | "v2",
): Uint32Array<ArrayBuffer> {
  const tokenSide = side / factor;
  const rows: number[] = [];
  for (let tile = 0; tile < tiles; tile++) {
    const firstPatch = tile * (1 + side * side) + 1; // past the class token
    for (let a = 0; a < tokenSide; a++) {
      for (let b = 0; b < tokenSide; b++) {
        const [r, q] = version === "v2" ? [a, b] : [b, a];
        for (let i = 0; i < factor; i++) {
          for (let j = 0; j < factor; j++) rows.push(firstPatch + (factor * r + i) * side + factor * q + j);
        }
      }
    }
  }
  return Uint32Array.from(rows);
}
