import { type WeightFormat, weightBytes } from "../backend/cpu/weights.ts";
import { MemoryError } from "../errors.ts";
import { planMemory } from "../graph/planner.ts";
import type { Graph } from "../graph/recorder.ts";
import { cacheLayout, languageWeights, recordLanguage } from "../model/language.ts";
import { recordEncoder } from "../model/network.ts";
import { projectorWeights } from "../model/projector.ts";
import { visionWeights } from "../model/vision.ts";
import type { EngineSizes } from "./conversations.ts";
import type { Subject } from "./shapes.ts";

/** What the process takes besides: Node, the store's own buffers, pieces of weights on their way. */
const processBytes = 3e8;

/** What a benchmark will have in memory at the same time, in bytes. */
export interface MemoryNeeds {
  readonly weights: number;
  readonly cache: number;
  readonly activations: number;
  readonly total: number;
}

/** Counted on the graphs that will run. */
export async function memoryNeeds(
  { description, store }: Subject,
  weights: WeightFormat,
  sizes: EngineSizes,
  cacheValueBytes: number,
): Promise<MemoryNeeds> {
  const vision = await visionWeights(description, store);
  const encoder = recordEncoder(description, { vision, projector: projectorWeights(store) }, 1);
  const { language } = description;
  const parts = languageWeights(language, store);
  const layout = cacheLayout(language, sizes.pageSize);
  const step = (tokens: number, outputs: number) =>
    recordLanguage(language, parts, layout, {
      tokens,
      features: 0,
      sequences: 1,
      pages: 8,
      outputs,
      pick: { count: 1, penalised: 0, suppressed: 0 },
    });
  const chunk = step(Math.min(sizes.stepTokens, sizes.promptTokens), 1);
  // Each piece of a prompt has a program of its own, and each program its activations.
  const chunks = Math.ceil(sizes.promptTokens / sizes.stepTokens) + 1;
  const arena = (graph: Graph) => planMemory(graph).arenaBytes;
  const { keyValueHeads, headSize, layers, pageSize } = layout;
  const tokens = Math.ceil(sizes.cacheTokens / pageSize + 1) * pageSize;
  const needs = {
    weights: weightBytes([...encoder.weights, ...chunk.weights], store, weights),
    cache: tokens * layers * 2 * keyValueHeads * headSize * cacheValueBytes,
    activations: arena(encoder) + chunks * arena(chunk),
  };
  return { ...needs, total: needs.weights + needs.cache + needs.activations + processBytes };
}

/** @throws MemoryError naming the weights that would fit, when there is not enough memory. */
export async function checkMemory(
  needsOf: (weights: WeightFormat) => Promise<MemoryNeeds>,
  weights: WeightFormat,
  available: number,
): Promise<MemoryNeeds> {
  const needs = await needsOf(weights);
  if (needs.total <= available) return needs;
  const fitting: string[] = [];
  for (const smaller of ["int8", "int4"] as const) {
    const { total } = await needsOf(smaller);
    if (total <= available) fitting.push(`${smaller} (${(total / 1e9).toFixed(1)} GB)`);
  }
  const remedy =
    fitting.length > 0
      ? `weights of ${fitting.join(" or ")} would fit`
      : "no weights would fit; take fewer layers, or a smaller shape";
  throw new MemoryError(needs.total, available, `counted with keys, values and activations; ${remedy}`);
}
