import type { LanguageDescription } from "../checkpoint/description.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import type { RowSlice, Weight } from "../graph/tensor.ts";
import { assembled, whole } from "./weights.ts";

/** One decoder layer, whatever the family; names are InternLM2's. */
export interface LanguageLayer {
  attentionNorm: Weight;
  /** `[(heads + 2 * keyValueHeads) * headSize, D]`, rows put in the order `[q | k | v]`. */
  wqkv: Weight;
  /** Qwen2 only. */
  wqkvBias?: Weight;
  wo: Weight;
  ffnNorm: Weight;
  /** The gate, `[I, D]`. */
  w1: Weight;
  /** Up, `[I, D]`. */
  w3: Weight;
  /** Down, `[D, I]`. */
  w2: Weight;
}

/** Where a family's checkpoint keeps the parameters. */
export interface LanguageNames {
  embeddings: string;
  norm: string;
  output: string;
  layer(store: TensorStore, index: number): LanguageLayer;
}

export function languageNames(description: LanguageDescription): LanguageNames {
  return description.architecture === "InternLM2" ? internlm2(description) : llamaLike(description);
}

function internlm2(description: LanguageDescription): LanguageNames {
  return {
    embeddings: "language_model.model.tok_embeddings.weight",
    norm: "language_model.model.norm.weight",
    output: "language_model.output.weight",
    layer(store, index) {
      const layer = `language_model.model.layers.${index}`;
      const wqkv = `${layer}.attention.wqkv.weight`;
      return {
        attentionNorm: whole(store, `${layer}.attention_norm.weight`),
        wqkv: assembled(store, wqkv, groupedSlices(wqkv, description)),
        wo: whole(store, `${layer}.attention.wo.weight`),
        ffnNorm: whole(store, `${layer}.ffn_norm.weight`),
        w1: whole(store, `${layer}.feed_forward.w1.weight`),
        w3: whole(store, `${layer}.feed_forward.w3.weight`),
        w2: whole(store, `${layer}.feed_forward.w2.weight`),
      };
    },
  };
}

/**
 * InternLM2 keeps wqkv in one group a key-value head: its query heads, then its k, then its v. Query head n belongs to
 * group n / (heads / keyValueHeads), so taking the groups' queries in order gives the heads in order.
 */
function groupedSlices(tensor: string, description: LanguageDescription): RowSlice[] {
  const { heads, keyValueHeads, headSize } = description;
  const queryRows = (heads / keyValueHeads) * headSize;
  const groupRows = queryRows + 2 * headSize;
  const part = (offset: number, rows: number) =>
    Array.from({ length: keyValueHeads }, (_, group) => ({
      tensor,
      firstRow: group * groupRows + offset,
      rows,
    }));
  return [...part(0, queryRows), ...part(queryRows, headSize), ...part(queryRows + headSize, headSize)];
}

/** Llama, Qwen2 (with biases on q, k, v) and Phi-3 (q, k, v and gate, up in one tensor each). */
function llamaLike(description: LanguageDescription): LanguageNames {
  const { heads, keyValueHeads, headSize, intermediateSize, architecture, qkvBias } = description;
  const parts = { q: heads * headSize, k: keyValueHeads * headSize, v: keyValueHeads * headSize };
  return {
    embeddings: "language_model.model.embed_tokens.weight",
    norm: "language_model.model.norm.weight",
    output: "language_model.lm_head.weight",
    layer(store, index) {
      const layer = `language_model.model.layers.${index}`;
      const joined = (kind: "weight" | "bias") =>
        assembled(
          store,
          `${layer}.self_attn.qkv.${kind}`,
          Object.entries(parts).map(([part, rows]) => ({
            tensor: `${layer}.self_attn.${part}_proj.${kind}`,
            firstRow: 0,
            rows,
          })),
        );
      const gateUp = `${layer}.mlp.gate_up_proj.weight`;
      const half = (name: string, firstRow: number) =>
        assembled(store, `${layer}.mlp.${name}`, [{ tensor: gateUp, firstRow, rows: intermediateSize }]);
      const fused = architecture === "Phi3";
      return {
        attentionNorm: whole(store, `${layer}.input_layernorm.weight`),
        wqkv: fused ? whole(store, `${layer}.self_attn.qkv_proj.weight`) : joined("weight"),
        wqkvBias: qkvBias ? joined("bias") : undefined,
        wo: whole(store, `${layer}.self_attn.o_proj.weight`),
        ffnNorm: whole(store, `${layer}.post_attention_layernorm.weight`),
        w1: fused ? half("gate", 0) : whole(store, `${layer}.mlp.gate_proj.weight`),
        w3: fused ? half("up", intermediateSize) : whole(store, `${layer}.mlp.up_proj.weight`),
        w2: whole(store, `${layer}.mlp.down_proj.weight`),
      };
    },
  };
}
