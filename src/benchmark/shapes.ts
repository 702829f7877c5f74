import { parseConfig } from "../checkpoint/config.ts";
import type { ModelDescription } from "../checkpoint/description.ts";
import { type PublishedName, publishedConfigs } from "../checkpoint/published.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import { OptionError } from "../errors.ts";
import { SyntheticStore } from "./synthetic-store.ts";

/** What is benchmarked: a description and the tensors that go with it. */
export interface Subject {
  /** For people: `internvl2-8b`, or the folder of a checkpoint. */
  readonly name: string;
  /** Whether the weights are made up. */
  readonly synthetic: boolean;
  readonly description: ModelDescription;
  readonly store: TensorStore;
}

/**
 * A published model's true dimensions with made-up weights.
 * @param shape `8b`, `internvl2-8b`, `InternVL2-8B` and so on. @throws OptionError for any other.
 */
export function syntheticSubject(shape: string): Subject {
  const name = shape.toLowerCase().replace(/^(opengvlab\/)?internvl2-(llama3-)?/, "");
  if (!Object.hasOwn(publishedConfigs, name)) {
    const names = Object.keys(publishedConfigs).join(", ");
    throw new OptionError("shape", shape, `must be one of ${names}, or internvl2- and one of them`);
  }
  return subjectOf(`internvl2-${name}`, parseConfig(publishedConfigs[name as PublishedName]));
}

/** Any description with made-up weights. */
export function subjectOf(name: string, description: ModelDescription): Subject {
  return { name, synthetic: true, description, store: new SyntheticStore(description) };
}

/** The same model with at most `layers` layers in the tower and in the language model. */
export function withLayers(description: ModelDescription, layers: number): ModelDescription {
  const { vision, projector, language } = description;
  return {
    ...description,
    vision: { ...vision, layers: Math.min(layers, vision.layers) },
    projector: { ...projector, visionStates: Math.min(layers, projector.visionStates) },
    language: { ...language, layers: Math.min(layers, language.layers) },
  };
}
