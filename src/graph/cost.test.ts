import { describe, expect, it } from "vitest";
import { fakeStore } from "../../test/support/fake-store.ts";
import { randomWeight as weight } from "../../test/support/matrices.ts";
import { parseConfig } from "../checkpoint/config.ts";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import { publishedConfigs } from "../checkpoint/published.ts";
import { cacheLayout, languageWeights, recordLanguage } from "../model/language.ts";
import { recordEncoder } from "../model/network.ts";
import { projectorWeights } from "../model/projector.ts";
import { visionWeights } from "../model/vision.ts";
import { costOf } from "./cost.ts";
import type { Operation } from "./operations.ts";
import { type Graph, Recorder } from "./recorder.ts";

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
    const products = (tokens: number) => sum(step(tokens), (operation) => costOf(operation, 2).flops);
    expect(products(256 + 50) / 1e12).toBeCloseTo(4.3, 1);
    // The attention of a prompt: each token reads itself and those before it.
    const prompt = 13 * 256 + 50;
    const causal = (prompt * (prompt + 1)) / 2;
    const attention = sum(step(prompt), (operation) =>
      operation.kind === "pagedAttention" ? costOf(operation, 2, causal).flops : 0,
    );
    expect((products(prompt) + attention) / 1e12).toBeCloseTo(50.1, 0);
  });

  it("counts 128 KiB of keys and values a token in bf16", () => {
    const { layers, keyValueHeads, headSize } = cacheLayout(description.language, 64);
    expect(layers * 2 * keyValueHeads * headSize * 2).toBe(128 * 1024);
  });
});

describe("costOf", () => {
  const operationOf = (record: (g: Recorder) => unknown): Operation => {
    const g = new Recorder("one");
    record(g);
    return g.finish().operations.at(-1)!;
  };

  it("counts what a product reads and writes, each once", () => {
    const product = operationOf((g) => {
      const x = g.input("x", "f32", 3, 8);
      g.matmul(x, weight("w", 5, 8), { bias: weight("b", 5, 1), residual: g.input("r", "f32", 3, 5) });
    });
    expect(costOf(product, 2)).toEqual({
      flops: 2 * 3 * 5 * 8,
      weightBytes: (40 + 5) * 2,
      activationBytes: (24 + 15 + 15) * 4,
    });
    expect(costOf(product, 0.5).weightBytes).toBe(22.5);
  });

  it("counts both products of a gated one", () => {
    const gated = operationOf((g) =>
      g.gatedMatmul(g.input("x", "f32", 3, 8), weight("gate", 5, 8), weight("up", 5, 8)),
    );
    expect(costOf(gated, 2)).toMatchObject({ flops: 2 * 2 * 3 * 5 * 8, weightBytes: 2 * 40 * 2 });
  });

  it("counts the rows of a table that are read, not the table", () => {
    const embedding = operationOf((g) => g.embed(weight("table", 1000, 8), g.input("ids", "u32", 3, 1)));
    expect(costOf(embedding, 2)).toEqual({
      flops: 0,
      weightBytes: 3 * 8 * 2,
      activationBytes: 3 * 4 + 24 * 4,
    });
  });

  it("counts the rows that are gathered or scattered, not all there are", () => {
    const gathered = operationOf((g) =>
      g.gatherRows(g.input("x", "f32", 1000, 8), g.input("rows", "u32", 2, 1)),
    );
    expect(costOf(gathered, 2).activationBytes).toBe(2 * 4 + 2 * (2 * 8 * 4));
    const scattered = operationOf((g) =>
      g.scatterRows(
        g.embed(weight("table", 1000, 8), g.input("ids", "u32", 100, 1)),
        g.input("features", "f32", 2, 8),
        g.input("rows", "u32", 2, 1),
      ),
    );
    expect(costOf(scattered, 2).activationBytes).toBe(2 * 4 + 2 * (2 * 8 * 4));
  });
});
