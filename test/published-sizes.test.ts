import { describe, expect, it } from "vitest";
import { parseConfig } from "../src/checkpoint/config.ts";
import { expectedTensors } from "../src/checkpoint/expected-tensors.ts";
import { publishedConfigs } from "../src/checkpoint/published.ts";
import { costOf } from "../src/graph/cost.ts";
import type { Operation } from "../src/graph/operations.ts";
import { planMemory } from "../src/graph/planner.ts";
import type { Graph } from "../src/graph/recorder.ts";
import { cacheLayout, languageWeights, recordLanguage } from "../src/model/language.ts";
import { recordEncoder } from "../src/model/network.ts";
import { projectorWeights } from "../src/model/projector.ts";
import { visionWeights } from "../src/model/vision.ts";
import { fakeStore } from "./support/fake-store.ts";

const description = parseConfig(publishedConfigs["8b"]);
const store = fakeStore(expectedTensors(description));

function sum(graph: Graph, of: (operation: Operation) => number): number {
  return graph.operations.reduce((total, operation) => total + of(operation), 0);
}

/** One step of the true 8B's language model. */
function step(tokens: number, outputs = 1): Graph {
  const { language } = description;
  const sizes = { tokens, features: 0, sequences: 1, pages: 8, outputs, pick: "logits" } as const;
  return recordLanguage(language, languageWeights(language, store), cacheLayout(language, 64), sizes);
}

describe("costOf, for InternVL2-8B as published", () => {
  it("counts 0.72 TFLOP for a tile in the vision tower, and 0.017 in the projector", async () => {
    const weights = { vision: await visionWeights(description, store), projector: projectorWeights(store) };
    const graph = recordEncoder(description, weights, 1);
    const isProjector = (operation: Operation) =>
      operation.kind === "matmul" && operation.weight.name.startsWith("mlp1.");
    const projector = sum(graph, (operation) => (isProjector(operation) ? costOf(operation, 2).flops : 0));
    const tower = sum(graph, (operation) => costOf(operation, 2).flops) - projector;
    expect(projector).toBe(2 * 256 * 2 * 4096 * 4096);
    expect(projector / 1e12).toBeCloseTo(0.017, 3);
    expect(tower / 1e12).toBeCloseTo(0.72, 2);
    // Two tiles cost twice as much: attention stays inside a tile.
    const two = sum(recordEncoder(description, weights, 2), (operation) => costOf(operation, 2).flops);
    expect(two).toBe(2 * (tower + projector));
  });

  it("counts 14.72 GB of weights for a token of decode, less the embedding table", () => {
    const weightBytes = sum(step(1), (operation) => costOf(operation, 2).weightBytes);
    const row = 4096 * 2; // of the embedding table, one row is read
    expect((weightBytes - row) / 1e9).toBeCloseTo(14.72, 2);
    const head = 92553 * 4096 * 2;
    const perLayer = (weightBytes - row - head - 4096 * 2) / 2 / 32;
    expect(perLayer).toBe((6144 + 4096 + 3 * 14336 + 2) * 4096);
  });

  it("counts 4.3 TFLOP of products for the prompt of one tile and 50 tokens, 50.1 for 13 tiles", () => {
    const flops = (graph: Graph) => sum(graph, (operation) => costOf(operation, 2).flops);
    const head = 2 * 92553 * 4096;
    const products = (tokens: number) => flops(step(tokens, tokens)) - (tokens - 1) * head;
    expect(products(256 + 50) / 1e12).toBeCloseTo(4.3, 1);
    // The attention of a prompt: each token reads itself and those before it.
    const prompt = 13 * 256 + 50;
    const causal = (prompt * (prompt + 1)) / 2;
    const attention = sum(step(prompt), (operation) =>
      operation.kind === "pagedAttention" ? costOf(operation, 2, causal).flops : 0,
    );
    expect((products(prompt) + attention) / 1e12).toBeCloseTo(50.1, 0);
    // Where one row is asked for, the last layer is spared what follows attention in the others.
    const spared = 2 * (prompt - 1) * (4096 + 3 * 14336) * 4096;
    expect(flops(step(prompt))).toBe(products(prompt) - spared);
  });

  it("counts 128 KiB of keys and values a token in bf16", () => {
    const { layers, keyValueHeads, headSize } = cacheLayout(description.language, 64);
    expect(layers * 2 * keyValueHeads * headSize * 2).toBe(128 * 1024);
  });
});

describe("planMemory, for InternVL2-8B as published", () => {
  it("places a prompt's step of 512 tokens with no waste to speak of", () => {
    const { arenaBytes, liveBytes } = planMemory(step(512));
    expect(arenaBytes / liveBytes).toBeLessThan(1.01);
    // The most that is alive: the stream, its norm and the hidden values of the feed-forward part, in f32.
    expect(liveBytes).toBe(512 * (2 * 4096 + 14336) * 4);
  });
});
