/**
 * One typed description of any checkpoint of the family, read from `config.json` by `parseConfig`.
 * Field names are plain words; the checkpoint's own name of each stands in its comment.
 */

/** Everything the network and the pipeline need to know about a checkpoint. */
export interface ModelDescription {
  vision: VisionDescription;
  projector: ProjectorDescription;
  language: LanguageDescription;
  tiling: TilingDescription;
  /** `template`: the name of the conversation template. */
  template: string;
}

/** The vision tower: InternViT-300M or InternViT-6B. */
export interface VisionDescription {
  /** `hidden_size` */
  hiddenSize: number;
  /** `num_hidden_layers` */
  layers: number;
  /** `num_attention_heads` */
  heads: number;
  /** `hidden_size / num_attention_heads` */
  headSize: number;
  /** `intermediate_size` */
  intermediateSize: number;
  /** `norm_type` */
  norm: "layer_norm" | "rms_norm";
  /** `layer_norm_eps` */
  normEpsilon: number;
  /** `qk_normalization`: RMS norm over the whole of q and of k, before the heads are split. */
  qkNormalization: boolean;
  /** `qkv_bias` */
  qkvBias: boolean;
  /** `image_size`: the side, in pixels, that the position table was made for. */
  imageSize: number;
  /** `patch_size` */
  patchSize: number;
}

/** From patch states to the language model's embeddings: pixel shuffle, then `mlp1`. */
export interface ProjectorDescription {
  /** `ps_version`: v1 transposes the tokens of a tile. */
  pixelShuffle: "v1" | "v2";
  /** `1 / downsample_ratio`: how many patches, along one side, become one token. */
  shuffleFactor: number;
  /** Which hidden state feeds the projector, counted from 0 = embeddings to `layers` = the last (`select_layer` resolved). */
  visionStates: number;
}

/** The language model: InternLM2, Qwen2, Phi-3 or Llama. */
export interface LanguageDescription {
  /** `architectures[0]` without its `ForCausalLM`. */
  architecture: "InternLM2" | "Qwen2" | "Phi3" | "Llama";
  /** `hidden_size` */
  hiddenSize: number;
  /** `num_hidden_layers` */
  layers: number;
  /** `num_attention_heads` */
  heads: number;
  /** `num_key_value_heads` */
  keyValueHeads: number;
  /** `hidden_size / num_attention_heads` */
  headSize: number;
  /** `intermediate_size` */
  intermediateSize: number;
  /** `vocab_size` */
  vocabularySize: number;
  /** `rms_norm_eps` */
  normEpsilon: number;
  /** Whether q, k and v have biases (Qwen2). */
  qkvBias: boolean;
  /** `max_position_embeddings` */
  contextLength: number;
  rope: RopeDescription;
  /** `bos_token_id`, `eos_token_id`, `pad_token_id`; undefined where the config has none. */
  beginId: number | undefined;
  endId: number | undefined;
  padId: number | undefined;
}

/** Rotary position embedding and how it is stretched. */
export type RopeDescription = { theta: number } & (
  | { kind: "plain" }
  /** Positions divided by `factor`. */
  | { kind: "linear"; factor: number }
  /** Dynamic NTK: the base grows once a sequence is longer than `originalLength`. */
  | { kind: "dynamic"; factor: number; originalLength: number }
  /** Phi-3's "su"/longrope: per-frequency factors, another list once a sequence is longer than `originalLength`. */
  | {
      kind: "longrope";
      shortFactors: number[];
      longFactors: number[];
      originalLength: number;
      /** Multiplies cosine and sine. */
      magnitude: number;
    }
);

/** How a picture is cut for this checkpoint. */
export interface TilingDescription {
  /** `force_image_size` (else the vision tower's `image_size`): a tile's side in pixels. */
  tileSize: number;
  /** `min_dynamic_patch` */
  minTiles: number;
  /** `max_dynamic_patch`; 1 when `dynamic_image_size` is false. */
  maxTiles: number;
  /** `use_thumbnail` */
  thumbnail: boolean;
  /** Language-model tokens a tile becomes: `(tileSize / patchSize / shuffleFactor)²`. */
  tokensPerTile: number;
}
