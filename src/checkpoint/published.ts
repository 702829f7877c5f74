/**
 * The architecture fields of the published checkpoints' `config.json`, so that true sizes are at hand without a
 * download: `inspect` and the benchmarks plan memory and count work with them.
 *
 * Sources: the config.json of InternVL2-2B, -8B and -26B as published; for 76B the sizes in MindSpeed-MM's
 * examples/internvl2; for 1B, 4B and 40B the base models Qwen2-0.5B-Instruct, Phi-3-mini-128k-instruct and
 * Nous-Hermes-2-Yi-34B, whose totals then give the published 0.9, 4.2 and 40.1 billion parameters.
 */

/** The siblings of InternVL2 with public weights; `76b` is InternVL2-Llama3-76B. */
export type PublishedName = "1b" | "2b" | "4b" | "8b" | "26b" | "40b" | "76b";

type Json = Record<string, unknown>;

/** InternViT-300M-448px */
const vision300M: Json = {
  model_type: "intern_vit_6b",
  hidden_size: 1024,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  intermediate_size: 4096,
  norm_type: "layer_norm",
  layer_norm_eps: 1e-6,
  qk_normalization: false,
  qkv_bias: true,
  hidden_act: "gelu",
  image_size: 448,
  patch_size: 14,
  num_channels: 3,
};

/** InternViT-6B-448px-V1-5 */
const vision6B: Json = {
  ...vision300M,
  hidden_size: 3200,
  num_hidden_layers: 45,
  num_attention_heads: 25,
  intermediate_size: 12800,
  norm_type: "rms_norm",
  qk_normalization: true,
  qkv_bias: false,
};

function internLM2(sizes: Json, ropeFactor: number): Json {
  return {
    architectures: ["InternLM2ForCausalLM"],
    model_type: "internlm2",
    vocab_size: 92553,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 1000000,
    rope_scaling: { type: "dynamic", factor: ropeFactor },
    max_position_embeddings: 32768,
    bias: false,
    hidden_act: "silu",
    bos_token_id: 1,
    eos_token_id: 2,
    pad_token_id: 2,
    ...sizes,
  };
}

function llama(sizes: Json): Json {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    hidden_act: "silu",
    ...sizes,
  };
}

const qwen2: Json = {
  architectures: ["Qwen2ForCausalLM"],
  model_type: "qwen2",
  hidden_size: 896,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  intermediate_size: 4864,
  vocab_size: 151655,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000,
  max_position_embeddings: 32768,
  hidden_act: "silu",
};

const phi3: Json = {
  architectures: ["Phi3ForCausalLM"],
  model_type: "phi3",
  hidden_size: 3072,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  intermediate_size: 8192,
  vocab_size: 32020,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  // Stand-ins: the checkpoint brings its own 48 factors of each kind. No size depends on them.
  rope_scaling: { type: "su", short_factor: Array(48).fill(1), long_factor: Array(48).fill(1) },
  max_position_embeddings: 131072,
  original_max_position_embeddings: 4096,
  sliding_window: 262144,
  hidden_act: "silu",
};

function chat(template: string, vision_config: Json, llm_config: Json): Json {
  return {
    architectures: ["InternVLChatModel"],
    model_type: "internvl_chat",
    downsample_ratio: 0.5,
    dynamic_image_size: true,
    force_image_size: 448,
    min_dynamic_patch: 1,
    max_dynamic_patch: 12,
    ps_version: "v2",
    select_layer: -1,
    template,
    use_thumbnail: true,
    use_backbone_lora: 0,
    use_llm_lora: 0,
    torch_dtype: "bfloat16",
    vision_config,
    llm_config,
  };
}

const sizes2B = {
  hidden_size: 2048,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  intermediate_size: 8192,
};
const sizes8B = {
  hidden_size: 4096,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  intermediate_size: 14336,
};
const sizes26B = {
  hidden_size: 6144,
  num_hidden_layers: 48,
  num_attention_heads: 48,
  intermediate_size: 16384,
};
const sizes40B = {
  hidden_size: 7168,
  num_hidden_layers: 60,
  num_attention_heads: 56,
  intermediate_size: 20480,
};
const sizes76B = {
  hidden_size: 8192,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  intermediate_size: 28672,
};

/** One `config.json` per sibling, cut down to the fields that `parseConfig` reads. */
export const publishedConfigs: Readonly<Record<PublishedName, Json>> = {
  "1b": chat("Hermes-2", vision300M, qwen2),
  "2b": chat("internlm2-chat", vision300M, internLM2(sizes2B, 2)),
  "4b": chat("phi3-chat", vision300M, phi3),
  "8b": chat("internlm2-chat", vision300M, internLM2(sizes8B, 2)),
  "26b": chat("internlm2-chat", vision6B, internLM2(sizes26B, 3)),
  "40b": chat(
    "Hermes-2",
    vision6B,
    llama({ ...sizes40B, vocab_size: 64009, rope_theta: 5000000, max_position_embeddings: 4096 }),
  ),
  "76b": chat(
    "internlm2-chat",
    vision6B,
    llama({ ...sizes76B, vocab_size: 128265, rope_theta: 500000, max_position_embeddings: 8192 }),
  ),
};
