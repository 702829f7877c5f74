import type { ModelDescription, VisionDescription } from "../checkpoint/description.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import type { Recorder } from "../graph/recorder.ts";
import type { Tensor, Weight } from "../graph/tensor.ts";
import { interpolatePositions } from "./positions.ts";
import { computed, whole } from "./weights.ts";

/** The normalisation of pixels: ImageNet's mean and standard deviation, RGB, as `build_transform` has them. */
export const pixelMean = [0.485, 0.456, 0.406] as const;
export const pixelDeviation = [0.229, 0.224, 0.225] as const;

/** A norm of the tower: LayerNorm (300M) when it has a bias, RMSNorm (6B) when not. */
interface Norm {
  weight: Weight;
  bias?: Weight;
}

interface VisionLayer {
  norm1: Norm;
  /** `[3H, H]`: rows are all of q, all of k, all of v, each head after head. */
  qkv: Weight;
  qkvBias?: Weight;
  /** InternViT-6B normalises the whole of q and of k. */
  queryNorm?: Weight;
  keyNorm?: Weight;
  proj: Weight;
  projBias: Weight;
  /** Layer scale: multiplies what attention and MLP add to the stream. */
  ls1: Weight;
  norm2: Norm;
  fc1: Weight;
  fc1Bias: Weight;
  fc2: Weight;
  fc2Bias: Weight;
  ls2: Weight;
}

export interface VisionWeights {
  /** `[H, 3 * patch * patch]`, the patch convolution as a matrix. */
  patchEmbedding: Weight;
  /** `[1 + g * g, H]`: what is added to each row of a tile, see `rowTable`. */
  rowTable: Weight;
  /** Only the layers up to the state that the projector reads. */
  layers: VisionLayer[];
}

/** The tower's parameters by their checkpoint names. Reads the small ones that `rowTable` is worked out from. */
export async function visionWeights(
  description: ModelDescription,
  store: TensorStore,
): Promise<VisionWeights> {
  const { vision, tiling, projector } = description;
  const norm = (name: string): Norm => ({
    weight: whole(store, `${name}.weight`),
    bias: vision.norm === "layer_norm" ? whole(store, `${name}.bias`) : undefined,
  });
  const layers = Array.from({ length: projector.visionStates }, (_, i): VisionLayer => {
    const layer = `vision_model.encoder.layers.${i}`;
    return {
      norm1: norm(`${layer}.norm1`),
      qkv: whole(store, `${layer}.attn.qkv.weight`),
      qkvBias: vision.qkvBias ? whole(store, `${layer}.attn.qkv.bias`) : undefined,
      queryNorm: vision.qkNormalization ? whole(store, `${layer}.attn.q_norm.weight`) : undefined,
      keyNorm: vision.qkNormalization ? whole(store, `${layer}.attn.k_norm.weight`) : undefined,
      proj: whole(store, `${layer}.attn.proj.weight`),
      projBias: whole(store, `${layer}.attn.proj.bias`),
      ls1: whole(store, `${layer}.ls1`),
      norm2: norm(`${layer}.norm2`),
      fc1: whole(store, `${layer}.mlp.fc1.weight`),
      fc1Bias: whole(store, `${layer}.mlp.fc1.bias`),
      fc2: whole(store, `${layer}.mlp.fc2.weight`),
      fc2Bias: whole(store, `${layer}.mlp.fc2.bias`),
      ls2: whole(store, `${layer}.ls2`),
    };
  });
  return {
    patchEmbedding: whole(store, "vision_model.embeddings.patch_embedding.weight"),
    rowTable: await rowTable(vision, tiling.tileSize, store),
    layers,
  };
}

/**
 * What is added to each row of a tile once its patches went through the convolution: row 0 (whose patch is zeros) gets
 * the class embedding and its position; row 1 + p gets the convolution's bias and the position of patch p.
 */
async function rowTable(vision: VisionDescription, tileSize: number, store: TensorStore): Promise<Weight> {
  const width = vision.hiddenSize;
  const side = tileSize / vision.patchSize;
  const [classEmbedding, bias, positions] = await Promise.all([
    store.readFloats("vision_model.embeddings.class_embedding"), // [1, 1, H]
    store.readFloats("vision_model.embeddings.patch_embedding.bias"), // [H]
    store.readFloats("vision_model.embeddings.position_embedding"), // [1, 1 + from * from, H]
  ]);
  const patchPositions = interpolatePositions(
    positions.subarray(width),
    vision.imageSize / vision.patchSize,
    side,
    width,
  );
  const table = new Float32Array((1 + side * side) * width);
  for (let c = 0; c < width; c++) table[c] = classEmbedding[c] + positions[c];
  for (let i = 0; i < side * side * width; i++) table[width + i] = bias[i % width] + patchPositions[i];
  return computed("vision_model.embeddings", 1 + side * side, width, table);
}

/**
 * InternViT (modeling_intern_vit.py): T tiles in, the state the projector reads out. Pre-norm blocks with layer scale,
 * full attention inside a tile, no norm at the end.
 *
 * @param tiles u8 `[T, tileSize * tileSize * 3]`
 * @returns `[T * (1 + g * g), H]` with g = tileSize / patchSize; row 0 of a tile is its class token.
 */
export function recordVision(
  g: Recorder,
  description: ModelDescription,
  weights: VisionWeights,
  tiles: Tensor,
): Tensor {
  const { vision, tiling } = description;
  const width = vision.hiddenSize;
  const { tileSize } = tiling;
  const { patchSize, heads, headSize } = vision;
  const norm = (x: Tensor, { weight, bias }: Norm) =>
    bias ? g.layerNorm(x, weight, bias, vision.normEpsilon) : g.rmsNorm(x, weight, vision.normEpsilon);

  const patches = g.patches(tiles, {
    tileSize,
    patchSize,
    mean: [...pixelMean],
    deviation: [...pixelDeviation],
  });
  let x = g.matmul(patches, weights.patchEmbedding, { table: weights.rowTable }); // [T * (1 + g²), H]
  for (const layer of weights.layers) {
    const qkv = g.matmul(norm(x, layer.norm1), layer.qkv, { bias: layer.qkvBias }); // [.., 3H]
    let query = g.columns(qkv, 0, width);
    let key = g.columns(qkv, width, width);
    const value = g.columns(qkv, 2 * width, width);
    if (layer.queryNorm) query = g.rmsNorm(query, layer.queryNorm, vision.normEpsilon);
    if (layer.keyNorm) key = g.rmsNorm(key, layer.keyNorm, vision.normEpsilon);
    const groupRows = weights.rowTable.rows; // the tokens of one tile
    const mixed = g.attention({ query, key, value }, { heads, headSize, groupRows }); // [.., H]
    x = g.matmul(mixed, layer.proj, { bias: layer.projBias, scale: layer.ls1, residual: x });
    const hidden = g.matmul(norm(x, layer.norm2), layer.fc1, { bias: layer.fc1Bias, activation: "gelu" });
    x = g.matmul(hidden, layer.fc2, { bias: layer.fc2Bias, scale: layer.ls2, residual: x });
  }
  return x;
}
