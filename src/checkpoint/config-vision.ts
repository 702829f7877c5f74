/** `vision_config`: InternViT-300M or InternViT-6B. */

import { FAMILIES, type Fields, LIMITS } from "./config-fields.ts";
import type { VisionDescription } from "./description.ts";

/**
 * Reads `vision_config`. Absent fields take the defaults of the published class `InternVisionConfig`
 * (configuration_intern_vit.py), which are those of InternViT-6B at 224 pixels.
 * @throws ConfigError
 */
export function parseVision(fields: Fields): VisionDescription {
  fields.choice("model_type", "intern_vit_6b", ["intern_vit_6b"], ` (another vision tower: ${FAMILIES})`);
  fields.choice("hidden_act", "gelu", ["gelu"]);
  fields.refuse("num_channels", (fields.value("num_channels") ?? 3) !== 3, "has to be 3: pictures are RGB");
  const hiddenSize = fields.integer("hidden_size", 3200, 1, LIMITS.width);
  const heads = fields.integer("num_attention_heads", 25, 1, LIMITS.heads);
  if (hiddenSize % heads !== 0)
    throw fields.wrong("num_attention_heads", `has to divide the hidden_size of ${hiddenSize}`);
  const imageSize = fields.integer("image_size", 224, 1, LIMITS.pixels);
  const patchSize = fields.integer("patch_size", 14, 1, LIMITS.pixels);
  if (imageSize % patchSize !== 0)
    throw fields.wrong("patch_size", `has to divide the image_size of ${imageSize}`);
  return {
    hiddenSize,
    layers: fields.integer("num_hidden_layers", 48, 1, LIMITS.layers),
    heads,
    headSize: hiddenSize / heads,
    intermediateSize: fields.integer("intermediate_size", 12800, 1, LIMITS.width),
    norm: fields.choice("norm_type", "rms_norm", ["layer_norm", "rms_norm"]),
    normEpsilon: fields.positive("layer_norm_eps", 1e-6),
    qkNormalization: fields.boolean("qk_normalization", true),
    qkvBias: fields.boolean("qkv_bias", false),
    imageSize,
    patchSize,
  };
}
