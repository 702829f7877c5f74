/** `llm_config`: InternLM2, Qwen2, Phi-3 or Llama, told apart by `architectures[0]`. */

import { FAMILIES, type Fields, LIMITS } from "./config-fields.ts";
import { contextLength, parseRope } from "./config-rope.ts";
import type { LanguageDescription } from "./description.ts";

/** The defaults of `InternLM2Config`, `Qwen2Config`, `Phi3Config` and `LlamaConfig` where a field is absent. */
const ABSENT = {
  InternLM2: {
    hidden: 4096,
    intermediate: 11008,
    vocabulary: 103168,
    epsilon: 1e-6,
    keyValueHeads: undefined,
  },
  Qwen2: { hidden: 4096, intermediate: 22016, vocabulary: 151936, epsilon: 1e-6, keyValueHeads: 32 },
  Phi3: { hidden: 3072, intermediate: 8192, vocabulary: 32064, epsilon: 1e-5, keyValueHeads: undefined },
  Llama: { hidden: 4096, intermediate: 11008, vocabulary: 32000, epsilon: 1e-6, keyValueHeads: undefined },
};

/**
 * Reads `llm_config`. `tie_word_embeddings` is not looked at: every checkpoint of the family stores its output matrix
 * as a tensor of its own, and the published code unties them whatever the flag says.
 * @throws ConfigError
 */
export function parseLanguage(fields: Fields): LanguageDescription {
  const architecture = parseArchitecture(fields);
  const absent = ABSENT[architecture];
  refuseWhatIsNotDone(fields, architecture);

  const hiddenSize = fields.integer("hidden_size", absent.hidden, 1, LIMITS.width);
  const heads = fields.integer("num_attention_heads", 32, 1, LIMITS.heads);
  const keyValueHeads = fields.integer("num_key_value_heads", absent.keyValueHeads ?? heads, 1, LIMITS.heads);
  if (hiddenSize % heads !== 0)
    throw fields.wrong("num_attention_heads", `has to divide the hidden_size of ${hiddenSize}`);
  if (heads % keyValueHeads !== 0)
    throw fields.wrong("num_key_value_heads", `has to divide the num_attention_heads of ${heads}`);
  const headSize = hiddenSize / heads;
  if (headSize % 2 !== 0)
    throw fields.wrong(
      "num_attention_heads",
      `gives heads of ${headSize}, and rotary embedding needs an even size`,
    );
  fields.refuse(
    "head_dim",
    (fields.value("head_dim") ?? headSize) !== headSize,
    `has to be hidden_size / num_attention_heads = ${headSize}`,
  );

  const vocabularySize = fields.integer("vocab_size", absent.vocabulary, 1, LIMITS.vocabulary);
  return {
    architecture,
    hiddenSize,
    layers: fields.integer("num_hidden_layers", 32, 1, LIMITS.layers),
    heads,
    keyValueHeads,
    headSize,
    intermediateSize: fields.integer("intermediate_size", absent.intermediate, 1, LIMITS.width),
    vocabularySize,
    normEpsilon: fields.positive("rms_norm_eps", absent.epsilon),
    qkvBias: architecture === "Qwen2",
    contextLength: contextLength(fields, architecture),
    rope: parseRope(fields, architecture, headSize),
    beginId: tokenId(fields, "bos_token_id"),
    endId: tokenId(fields, "eos_token_id"),
    padId: tokenId(fields, "pad_token_id"),
  };
}

function parseArchitecture(fields: Fields): LanguageDescription["architecture"] {
  const list = fields.value("architectures");
  const name: unknown = Array.isArray(list) ? list[0] : undefined;
  switch (name) {
    case "InternLM2ForCausalLM":
      return "InternLM2";
    case "Qwen2ForCausalLM":
      return "Qwen2";
    case "Phi3ForCausalLM":
      return "Phi3";
    case "LlamaForCausalLM":
      return "Llama";
    default:
      throw fields.wrong("architectures", `names a language model that is not run here; ${FAMILIES}`);
  }
}

/** Variants that the published classes allow and no checkpoint of the family uses. */
function refuseWhatIsNotDone(fields: Fields, architecture: LanguageDescription["architecture"]): void {
  fields.choice("hidden_act", "silu", ["silu"]);
  fields.refuse(
    "quantization_config",
    fields.has("quantization_config"),
    "the weights are quantised; take the bf16 checkpoint, whose name has no -AWQ",
  );
  if (architecture === "InternLM2") {
    // The class default is true, so an absent field means biases too.
    fields.refuse(
      "bias",
      fields.boolean("bias", true),
      "has to be false: InternLM2 with biases is not supported",
    );
    fields.choice(
      "rope_pos_id_version",
      "default",
      ["default"],
      " (variable visual positions are not supported)",
    );
  }
  if (architecture === "Llama") {
    for (const name of ["attention_bias", "mlp_bias"])
      fields.refuse(name, fields.boolean(name, false), "has to be false: Llama with biases is not supported");
  }
  if (architecture === "Qwen2" || architecture === "Phi3") refuseNarrowWindow(fields, architecture);
}

/** A window as long as the context changes nothing, which is how the published 1B and 4B have it. */
function refuseNarrowWindow(fields: Fields, architecture: "Qwen2" | "Phi3"): void {
  if (architecture === "Qwen2" && !fields.boolean("use_sliding_window", false)) return;
  if (!fields.has("sliding_window")) return;
  const context = contextLength(fields, architecture);
  const window = fields.integer("sliding_window", context, 1, 2 ** 31);
  fields.refuse("sliding_window", window < context, `has to reach the whole context of ${context}`);
}

/** A token id; the first, where the config lists several. */
function tokenId(fields: Fields, name: string): number | undefined {
  const value = fields.value(name);
  if (value === undefined) return undefined;
  const id: unknown = Array.isArray(value) ? value[0] : value;
  if (!Number.isSafeInteger(id) || (id as number) < 0) throw fields.wrong(name, "has to be a token id");
  return id as number;
}
