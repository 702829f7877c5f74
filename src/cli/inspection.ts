import { chooseBackend } from "../chat/choose-backend.ts";
import type { ModelDescription, VisionDescription } from "../checkpoint/description.ts";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import { InternVLError } from "../errors.ts";
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

const weightFormats = ["checkpoint", "int8", "int4"] as const;

export interface Memory {
  readonly weights: (typeof weightFormats)[number];
  readonly bytes: number;
  /** Whether this version, on this machine, can hold weights so. */
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
    memory: await Promise.all(
      weightFormats.map(async (weights) => ({
        weights,
        bytes: weightBytes(description, weights),
        supported: await isSupported(weights),
      })),
    ),
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
 * Bytes of all weights. As the checkpoint has them they are 16-bit; int8 and int4 hold only the products of the language
 * model in 8 and 4 bits, and int4 keeps the output matrix in 8.
 */
function weightBytes(description: ModelDescription, weights: Memory["weights"]): number {
  let bytes = 0;
  for (const [name, shape] of expectedTensors(description)) {
    const values = productOf(shape);
    const isProduct = name.startsWith("language_model.") && shape.length === 2 && !/embed/.test(name);
    const isOutput = /\.(output|lm_head)\.weight$/.test(name);
    if (weights === "checkpoint" || !isProduct) bytes += values * 2;
    // One f32 scale a row, and one for 32 values.
    else if (weights === "int8" || isOutput) bytes += values + shape[0] * 4;
    else bytes += values / 2 + (values / 32) * 4;
  }
  return bytes;
}

/** Whether there is a device here that holds weights so. */
async function isSupported(weights: Memory["weights"]): Promise<boolean> {
  try {
    await (await chooseBackend({ weights }))[Symbol.asyncDispose]();
    return true;
  } catch (error) {
    if (error instanceof InternVLError) return false;
    throw error;
  }
}

/** The family has two towers. */
function visionName({ layers, hiddenSize }: VisionDescription): string {
  if (layers === 24 && hiddenSize === 1024) return "InternViT-300M";
  if (layers === 45 && hiddenSize === 3200) return "InternViT-6B";
  return "InternViT";
}
