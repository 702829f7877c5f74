/** `rope_theta` and `rope_scaling`: how positions turn queries and keys. */

import type { Fields } from "./config-fields.ts";
import type { LanguageDescription, RopeDescription } from "./description.ts";

type Architecture = LanguageDescription["architecture"];

/** The kinds of `rope_scaling` that the published modelling code of each language model knows. */
const KINDS: Record<Architecture, readonly string[]> = {
  InternLM2: ["linear", "dynamic"],
  Llama: ["linear", "dynamic"],
  Phi3: ["su", "longrope"],
  Qwen2: [],
};

/**
 * Reads the rotary embedding of `llm_config`.
 * @throws ConfigError on a kind that the architecture does not have, or on factors that do not fit the head.
 */
export function parseRope(fields: Fields, architecture: Architecture, headSize: number): RopeDescription {
  const theta = fields.positive("rope_theta", 10000);
  if (!fields.has("rope_scaling")) return { theta, kind: "plain" };

  const scaling = fields.object("rope_scaling");
  // transformers from 4.43 on writes `rope_type` where `type` was.
  const name = scaling.has("type") ? "type" : "rope_type";
  const kind = scaling.value(name);
  if (kind === "default") return { theta, kind: "plain" };
  const kinds = KINDS[architecture];
  if (typeof kind !== "string" || !kinds.includes(kind)) {
    const known = kinds.length === 0 ? "null" : `null, ${kinds.map((k) => `"${k}"`).join(" or ")}`;
    throw scaling.wrong(name, `${architecture} knows the rope_scaling ${known} only`);
  }

  if (kind === "linear" || kind === "dynamic") {
    const factor = scaling.positive("factor", Number.NaN);
    if (factor < 1) throw scaling.wrong("factor", "has to be a number from 1 on");
    if (kind === "linear") return { theta, kind, factor };
    return { theta, kind, factor, originalLength: contextLength(fields, architecture) };
  }

  const originalLength = fields.integer("original_max_position_embeddings", 4096, 2, 2 ** 31);
  return {
    theta,
    kind: "longrope",
    shortFactors: scaling.positives("short_factor", headSize / 2),
    longFactors: scaling.positives("long_factor", headSize / 2),
    originalLength,
    magnitude: magnitude(contextLength(fields, architecture) / originalLength, originalLength),
  };
}

/** `max_position_embeddings`, with the default of each published config class. */
export function contextLength(fields: Fields, architecture: Architecture): number {
  const absent = { InternLM2: 2048, Llama: 2048, Phi3: 4096, Qwen2: 32768 }[architecture];
  return fields.integer("max_position_embeddings", absent, 1, 2 ** 31);
}

/**
 * What Phi-3 multiplies cosine and sine by when the context is stretched `scale` times:
 * `sqrt(1 + ln(scale) / ln(originalLength))`, 1 where nothing is stretched (`Phi3SuScaledRotaryEmbedding`).
 */
function magnitude(scale: number, originalLength: number): number {
  return scale <= 1 ? 1 : Math.sqrt(1 + Math.log(scale) / Math.log(originalLength));
}
