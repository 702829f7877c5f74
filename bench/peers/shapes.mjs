// The dimensions that all engines are given, from the same table that `internvl bench` uses.
import { parseConfig } from "../../dist/checkpoint/config.js";
import { publishedConfigs } from "../../dist/checkpoint/published.js";

/** The siblings whose language model other engines can run as a Llama: InternLM2 is one, its wqkv taken apart. */
export const shapes = ["2b", "8b", "26b"];

export function dimensions(shape) {
  if (!shapes.includes(shape)) throw new RangeError(`--shape: must be one of ${shapes.join(", ")}`);
  return parseConfig(publishedConfigs[shape]);
}
