import type { ModelDescription, VisionDescription } from "../checkpoint/description.ts";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import { type Work, workOf } from "./work.ts";

/** What is in the files. */
export interface StoredFiles {
  complete: boolean;
  /** Why it is not complete. */
  problem?: string;
  files: Record<string, { bytes: number }>;
  /** By number format. */
  tensors: Record<string, { count: number; bytes: number }>;
}

export interface Memory {
  readonly weights: "bf16" | "int8" | "int4";
  readonly bytes: number;
  /** Whether this version can hold weights so. */
  readonly supported: boolean;
}

/** All that `inspect` says. */
export interface Inspection {
  readonly source: string;
  readonly vision: string;
  readonly language: string;
  readonly template: string;
  readonly parameters: { vision: number; projector: number; language: number; total: number };
  readonly contextLength: number;
  readonly tileSize: number;
  readonly tiles: { min: number; max: number; thumbnail: boolean };
  readonly tokensPerTile: number;
  readonly memory: readonly Memory[];
  /** Bytes that the keys and values of one token take. */
  readonly cacheBytesPerToken: number;
  readonly work: Work;
  /** Absent for the true dimensions of a published model, without its files. */
  readonly stored?: StoredFiles;
}

export async function inspectDescription(
  source: string,
  description: ModelDescription,
  stored?: StoredFiles,
): Promise<Inspection> {
  const { language, tiling } = description;
  const { vision, projector, language: languageSize } = countParameters(description);
  return {
    source,
    vision: visionName(description.vision),
    language: language.architecture,
    template: description.template,
    parameters: { vision, projector, language: languageSize, total: vision + projector + languageSize },
    contextLength: language.contextLength,
    tileSize: tiling.tileSize,
    tiles: { min: tiling.minTiles, max: tiling.maxTiles, thumbnail: tiling.thumbnail },
    tokensPerTile: tiling.tokensPerTile,
    memory: [
      { weights: "bf16", bytes: weightBytes(description, 2), supported: true },
      // Quantised as is usual: one 16-bit scale for 32 values.
      { weights: "int8", bytes: weightBytes(description, 1 + 2 / 32), supported: false },
      { weights: "int4", bytes: weightBytes(description, 1 / 2 + 2 / 32), supported: false },
    ],
    // f32, for keys and for values.
    cacheBytesPerToken: language.layers * 2 * language.keyValueHeads * language.headSize * 4,
    work: await workOf(description),
    stored,
  };
}

const productOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

function countParameters(description: ModelDescription) {
  const counts = { vision: 0, projector: 0, language: 0 };
  for (const [name, shape] of expectedTensors(description)) {
    const part = name.startsWith("vision_model.")
      ? "vision"
      : name.startsWith("mlp1.")
        ? "projector"
        : "language";
    counts[part] += productOf(shape);
  }
  return counts;
}

/**
 * Bytes of the weights with so many to a value of the matrices that tokens and patches are multiplied with. Embeddings,
 * norms and biases are 16-bit always: they are small, or looked up.
 */
function weightBytes(description: ModelDescription, bytesPerValue: number): number {
  let bytes = 0;
  for (const [name, shape] of expectedTensors(description)) {
    const isMatrix = shape.length === 2 && !/embeddings?\b|embed_tokens/.test(name);
    bytes += productOf(shape) * (isMatrix ? bytesPerValue : 2);
  }
  return bytes;
}

/** The family has two towers. */
function visionName({ layers, hiddenSize }: VisionDescription): string {
  if (layers === 24 && hiddenSize === 1024) return "InternViT-300M";
  if (layers === 45 && hiddenSize === 3200) return "InternViT-6B";
  return "InternViT";
}
