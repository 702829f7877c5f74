/** Which tensors a checkpoint must hold, and whether it does. */

import { CheckpointError } from "../errors.ts";
import type { LanguageDescription, ModelDescription, VisionDescription } from "./description.ts";
import type { Checkpoint } from "./open.ts";
import type { TensorStore } from "./tensor-store.ts";

type Shapes = Map<string, number[]>;

/** Every tensor of a checkpoint by name, with its shape as published. A linear layer's weight is [outputs, inputs]. */
export function expectedTensors(description: ModelDescription): Shapes {
  const shapes: Shapes = new Map();
  addVision(shapes, description.vision);
  addProjector(shapes, description);
  if (description.language.architecture === "InternLM2") addInternLM2(shapes, description.language);
  else addLlamaLike(shapes, description.language);
  return shapes;
}

/** InternViT (modeling_intern_vit.py). There is no norm after the last layer. */
function addVision(shapes: Shapes, vision: VisionDescription): void {
  const { hiddenSize: hidden, intermediateSize: intermediate, imageSize, patchSize } = vision;
  const embeddings = "vision_model.embeddings";
  shapes.set(`${embeddings}.class_embedding`, [1, 1, hidden]);
  shapes.set(`${embeddings}.patch_embedding.weight`, [hidden, 3, patchSize, patchSize]);
  shapes.set(`${embeddings}.patch_embedding.bias`, [hidden]);
  shapes.set(`${embeddings}.position_embedding`, [1, 1 + (imageSize / patchSize) ** 2, hidden]);
  for (let i = 0; i < vision.layers; i++) {
    const layer = `vision_model.encoder.layers.${i}`;
    shapes.set(`${layer}.attn.qkv.weight`, [3 * hidden, hidden]);
    if (vision.qkvBias) shapes.set(`${layer}.attn.qkv.bias`, [3 * hidden]);
    if (vision.qkNormalization) {
      shapes.set(`${layer}.attn.q_norm.weight`, [hidden]);
      shapes.set(`${layer}.attn.k_norm.weight`, [hidden]);
    }
    addLinear(shapes, `${layer}.attn.proj`, hidden, hidden);
    addLinear(shapes, `${layer}.mlp.fc1`, intermediate, hidden);
    addLinear(shapes, `${layer}.mlp.fc2`, hidden, intermediate);
    for (const norm of ["norm1", "norm2"]) {
      shapes.set(`${layer}.${norm}.weight`, [hidden]);
      if (vision.norm === "layer_norm") shapes.set(`${layer}.${norm}.bias`, [hidden]);
    }
    shapes.set(`${layer}.ls1`, [hidden]);
    shapes.set(`${layer}.ls2`, [hidden]);
  }
}

/** `mlp1` (modeling_internvl_chat.py): LayerNorm, linear, GELU (no tensors), linear. */
function addProjector(shapes: Shapes, { vision, projector, language }: ModelDescription): void {
  const inputs = vision.hiddenSize * projector.shuffleFactor ** 2;
  shapes.set("mlp1.0.weight", [inputs]);
  shapes.set("mlp1.0.bias", [inputs]);
  addLinear(shapes, "mlp1.1", language.hiddenSize, inputs);
  addLinear(shapes, "mlp1.3", language.hiddenSize, language.hiddenSize);
}

function addInternLM2(shapes: Shapes, language: LanguageDescription): void {
  const { hiddenSize: hidden, intermediateSize: intermediate, vocabularySize: vocabulary } = language;
  const { heads, keyValueHeads, headSize } = language;
  shapes.set("language_model.model.tok_embeddings.weight", [vocabulary, hidden]);
  for (let i = 0; i < language.layers; i++) {
    const layer = `language_model.model.layers.${i}`;
    shapes.set(`${layer}.attention.wqkv.weight`, [(heads + 2 * keyValueHeads) * headSize, hidden]);
    shapes.set(`${layer}.attention.wo.weight`, [hidden, heads * headSize]);
    shapes.set(`${layer}.feed_forward.w1.weight`, [intermediate, hidden]);
    shapes.set(`${layer}.feed_forward.w3.weight`, [intermediate, hidden]);
    shapes.set(`${layer}.feed_forward.w2.weight`, [hidden, intermediate]);
    shapes.set(`${layer}.attention_norm.weight`, [hidden]);
    shapes.set(`${layer}.ffn_norm.weight`, [hidden]);
  }
  shapes.set("language_model.model.norm.weight", [hidden]);
  shapes.set("language_model.output.weight", [vocabulary, hidden]);
}

/** Llama, Qwen2 (with biases of q, k and v) and Phi-3 (which fuses q, k, v, and gate with up). */
function addLlamaLike(shapes: Shapes, language: LanguageDescription): void {
  const { hiddenSize: hidden, intermediateSize: intermediate, vocabularySize: vocabulary } = language;
  const queries = language.heads * language.headSize;
  const keys = language.keyValueHeads * language.headSize;
  shapes.set("language_model.model.embed_tokens.weight", [vocabulary, hidden]);
  for (let i = 0; i < language.layers; i++) {
    const layer = `language_model.model.layers.${i}`;
    if (language.architecture === "Phi3") {
      shapes.set(`${layer}.self_attn.qkv_proj.weight`, [queries + 2 * keys, hidden]);
      shapes.set(`${layer}.mlp.gate_up_proj.weight`, [2 * intermediate, hidden]);
    } else {
      const outputs = { q: queries, k: keys, v: keys };
      for (const [name, size] of Object.entries(outputs)) {
        shapes.set(`${layer}.self_attn.${name}_proj.weight`, [size, hidden]);
        if (language.qkvBias) shapes.set(`${layer}.self_attn.${name}_proj.bias`, [size]);
      }
      shapes.set(`${layer}.mlp.gate_proj.weight`, [intermediate, hidden]);
      shapes.set(`${layer}.mlp.up_proj.weight`, [intermediate, hidden]);
    }
    shapes.set(`${layer}.self_attn.o_proj.weight`, [hidden, queries]);
    shapes.set(`${layer}.mlp.down_proj.weight`, [hidden, intermediate]);
    shapes.set(`${layer}.input_layernorm.weight`, [hidden]);
    shapes.set(`${layer}.post_attention_layernorm.weight`, [hidden]);
  }
  shapes.set("language_model.model.norm.weight", [hidden]);
  shapes.set("language_model.lm_head.weight", [vocabulary, hidden]);
}

function addLinear(shapes: Shapes, name: string, outputs: number, inputs: number): void {
  shapes.set(`${name}.weight`, [outputs, inputs]);
  shapes.set(`${name}.bias`, [outputs]);
}

/** Frequencies that some savings carry along. They follow from `rope_theta` and are not read. */
const DERIVED = /\.rotary_emb\.inv_freq$/;

/**
 * Compares a checkpoint's tensors with what its config promises.
 * @throws CheckpointError naming what is missing, of another shape, of a number format that is not read, or not part of
 * the model.
 */
export function checkTensors(
  description: ModelDescription,
  store: TensorStore & Partial<Pick<Checkpoint, "label" | "unreadable">>,
): void {
  const expected = expectedTensors(description);
  const missing: string[] = [];
  const misshapen: string[] = [];
  const unreadable: string[] = [];
  for (const [name, wanted] of expected) {
    const found = store.tensors.get(name);
    const other = store.unreadable?.get(name);
    if (other) unreadable.push(`${name} is ${other.dtype}, wanted BF16, F16 or F32`);
    else if (!found) missing.push(`${name} ${shapeText(wanted)}`);
    else if (shapeText(found.shape) !== shapeText(wanted))
      misshapen.push(`${name} wanted ${shapeText(wanted)}, got ${shapeText(found.shape)} in ${found.file}`);
  }
  const names = [...store.tensors.keys(), ...(store.unreadable?.keys() ?? [])];
  const extra = names.filter((name) => !expected.has(name) && !DERIVED.test(name));

  const problems = [
    section("missing", missing),
    section("of another shape", misshapen),
    section("of a number format that is not read", unreadable),
    section("not part of this model", extra),
  ].filter((text) => text !== "");
  if (problems.length > 0) {
    throw new CheckpointError(
      store.label ?? "the checkpoint",
      `the tensors are not those of config.json; take both from the same repository\n${problems.join("\n")}`,
    );
  }
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** The first few of a list: one wrong size in the config makes hundreds of wrong tensors. */
function section(title: string, items: string[]): string {
  if (items.length === 0) return "";
  const shown = items.slice(0, 8).map((item) => `\n    ${item}`);
  const rest = items.length > shown.length ? `\n    and ${items.length - shown.length} more` : "";
  return `  ${title} (${items.length}):${shown.join("")}${rest}`;
}
