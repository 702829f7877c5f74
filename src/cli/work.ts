import type { ModelDescription } from "../checkpoint/description.ts";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import type { TensorInfo, TensorStore } from "../checkpoint/tensor-store.ts";
import { costOf } from "../graph/cost.ts";
import type { Graph } from "../graph/recorder.ts";
import { cacheLayout, languageWeights, recordLanguage } from "../model/language.ts";
import { recordEncoder } from "../model/network.ts";
import { projectorWeights } from "../model/projector.ts";
import { visionWeights } from "../model/vision.ts";

/** Multiplications and additions. */
export interface Work {
  /** Of one tile, through the tower and the projector. */
  readonly tile: number;
  /** Of one token in the middle of a prompt, without looking back at earlier ones: to the last layer's keys and values. */
  readonly promptToken: number;
  /** Of one new token: all layers, and the choice among all tokens. */
  readonly newToken: number;
  /** What each earlier token that is looked back at adds to a token. */
  readonly lookBack: number;
}

/** Counted on the graphs that would run. */
export async function workOf(description: ModelDescription): Promise<Work> {
  const store = shapesOnly(description);
  const vision = await visionWeights(description, store);
  const tile = flopsOf(recordEncoder(description, { vision, projector: projectorWeights(store) }, 1));
  const weights = languageWeights(description.language, store);
  const oneToken = (outputs: number) =>
    recordLanguage(description.language, weights, cacheLayout(description.language, 1), {
      tokens: 1,
      features: 0,
      sequences: 1,
      pages: 1,
      outputs,
      pick: { count: 1, penalised: 0, suppressed: 0 },
    });
  const newToken = flopsOf(oneToken(1));
  return {
    tile,
    promptToken: flopsOf(oneToken(0)),
    newToken,
    lookBack: flopsOf(oneToken(1), 1) - newToken,
  };
}

/** The work of a prompt of so many tokens, each looking back at itself and all before. */
export function promptWork({ promptToken, lookBack }: Work, tokens: number): number {
  return tokens * promptToken + lookBack * ((tokens * (tokens + 1)) / 2);
}

function flopsOf(graph: Graph, cachedTokens = 0): number {
  return graph.operations.reduce((sum, operation) => sum + costOf(operation, 2, cachedTokens).flops, 0);
}

/** Tensors that have shapes, and zeros for values: enough to record graphs. */
function shapesOnly(description: ModelDescription): TensorStore {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of expectedTensors(description)) {
    tensors.set(name, { name, dtype: "BF16", shape, file: "", start: 0, end: 0 });
  }
  const sizeOf = (name: string) => tensors.get(name)!.shape.reduce((product, size) => product * size, 1);
  return {
    tensors,
    readRows: async () => new Uint8Array(),
    readFloats: async (name) => new Float32Array(sizeOf(name)),
    close: async () => undefined,
  };
}
