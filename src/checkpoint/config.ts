/** `config.json` to a `ModelDescription`. */

import { FAMILIES, Fields, LIMITS } from "./config-fields.ts";
import { parseLanguage } from "./config-language.ts";
import { parseVision } from "./config-vision.ts";
import type {
  ModelDescription,
  ProjectorDescription,
  TilingDescription,
  VisionDescription,
} from "./description.ts";

/**
 * Reads what `JSON.parse` made of a checkpoint's `config.json`. Absent fields take the defaults of the published class
 * `InternVLChatConfig` (configuration_internvl_chat.py); keys that are not known are passed over, for a config also
 * holds what only training used.
 *
 * @throws ConfigError naming the field: another kind of model, a value out of range, fields that contradict each other,
 * or a variant that is not run here.
 */
export function parseConfig(json: unknown): ModelDescription {
  const fields = new Fields(json, "");
  refuseOtherModels(fields);
  const vision = parseVision(fields.object("vision_config"));
  const projector = parseProjector(fields, vision);
  return {
    vision,
    projector,
    language: parseLanguage(fields.object("llm_config")),
    tiling: parseTiling(fields, vision, projector),
    template: parseTemplate(fields),
  };
}

function refuseOtherModels(fields: Fields): void {
  const architectures = fields.value("architectures");
  const ours = Array.isArray(architectures) && architectures[0] === "InternVLChatModel";
  const type = fields.value("model_type") ?? (ours ? "internvl_chat" : undefined);
  if (type !== "internvl_chat") {
    throw fields.wrong("model_type", `has to be "internvl_chat"${whatItIs(type)}; ${FAMILIES}`);
  }
  fields.refuse(
    "pad2square",
    fields.boolean("pad2square", false),
    "padding pictures to squares is not supported; InternVL2 cuts them into tiles",
  );
  for (const name of ["use_backbone_lora", "use_llm_lora"]) {
    fields.refuse(
      name,
      fields.has(name) && fields.value(name) !== 0,
      "has to be 0: merge the LoRA weights into the checkpoint first (tools/merge_lora.py of InternVL)",
    );
  }
  fields.refuse(
    "quantization_config",
    fields.has("quantization_config"),
    "the weights are quantised; take the bf16 checkpoint",
  );
}

function whatItIs(type: unknown): string {
  if (typeof type !== "string") return "";
  if (type === "internvl")
    return "; this is the layout of transformers' own port: take the repository without -hf";
  if (type.startsWith("llava")) return "; this is a LLaVA model";
  if (["internlm2", "qwen2", "phi3", "llama"].includes(type))
    return "; this is a language model alone, without a vision tower";
  return "";
}

function parseProjector(fields: Fields, vision: VisionDescription): ProjectorDescription {
  const ratio = fields.positive("downsample_ratio", 0.5);
  const shuffleFactor = Math.round(1 / ratio);
  if (shuffleFactor < 1 || Math.abs(1 / shuffleFactor - ratio) > 1e-9)
    throw fields.wrong("downsample_ratio", "has to be 1 over a whole number");
  // Index into the list [embeddings, layer 1, …, layer n]; a negative one counts from its end, as in Python.
  const select = fields.integer("select_layer", -1, -vision.layers - 1, vision.layers);
  return {
    pixelShuffle: fields.choice("ps_version", "v1", ["v1", "v2"]),
    shuffleFactor,
    visionStates: select < 0 ? vision.layers + 1 + select : select,
  };
}

function parseTiling(
  fields: Fields,
  vision: VisionDescription,
  projector: ProjectorDescription,
): TilingDescription {
  const tileSize = fields.integer("force_image_size", vision.imageSize, 1, LIMITS.pixels);
  if (tileSize % vision.patchSize !== 0)
    throw fields.wrong("force_image_size", `has to be a multiple of the patch_size of ${vision.patchSize}`);
  const side = tileSize / vision.patchSize / projector.shuffleFactor;
  if (!Number.isInteger(side)) {
    const grid = tileSize / vision.patchSize;
    throw fields.wrong("downsample_ratio", `has to bring the tile's ${grid}x${grid} patches to whole tokens`);
  }
  const minTiles = fields.integer("min_dynamic_patch", 1, 1, 1024);
  const maxTiles = fields.integer("max_dynamic_patch", 6, 1, 1024);
  if (minTiles > maxTiles)
    throw fields.wrong("min_dynamic_patch", `may not be above the max_dynamic_patch of ${maxTiles}`);
  const dynamic = fields.boolean("dynamic_image_size", false);
  return {
    tileSize,
    minTiles: dynamic ? minTiles : 1,
    maxTiles: dynamic ? maxTiles : 1,
    thumbnail: fields.boolean("use_thumbnail", false),
    tokensPerTile: side * side,
  };
}

function parseTemplate(fields: Fields): string {
  const template = fields.value("template");
  if (typeof template !== "string" || template === "") {
    throw fields.wrong(
      "template",
      'has to name a conversation template: "internlm2-chat", "Hermes-2" and "phi3-chat" are the published ones',
    );
  }
  return template;
}
