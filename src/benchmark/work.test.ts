import { describe, expect, it } from "vitest";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import type { Graph } from "../graph/recorder.ts";
import { cacheLayout, languageWeights, recordLanguage } from "../model/language.ts";
import { recordEncoder } from "../model/network.ts";
import { projectorWeights } from "../model/projector.ts";
import { visionWeights } from "../model/vision.ts";
import type { LimitSample } from "./limits.ts";
import type { Attended, Run } from "./measured-backend.ts";
import { syntheticSubject } from "./shapes.ts";
import { sum } from "./statistics.ts";
import { leastMilliseconds, workOf } from "./work.ts";

const { description, store } = syntheticSubject("8b");
const holding = { store, weights: "checkpoint", precision: "fast", cacheValueBytes: 2 } as const;

function runOf(graph: Graph, attended: Attended = { pairs: 0, positions: 0 }): Run {
  return {
    graph,
    begin: 0,
    end: 1,
    handedOver: 1,
    operations: undefined,
    deviceMilliseconds: undefined,
    attended,
  };
}

async function tile(): Promise<Run> {
  const vision = await visionWeights(description, store);
  return runOf(recordEncoder(description, { vision, projector: projectorWeights(store) }, 1));
}

function step(tokens: number, outputs: number, attended: Attended): Run {
  const { language } = description;
  const graph = recordLanguage(language, languageWeights(language, store), cacheLayout(language, 64), {
    tokens,
    features: 0,
    sequences: 1,
    pages: 32,
    outputs,
    pick: { count: 1, penalised: 0, suppressed: 0 },
  });
  return runOf(graph, attended);
}

const flops = (run: Run) => sum(workOf(run, holding).map((work) => work.flops));

/** Within a part in a hundred thousand. */
const agrees = (got: number, wanted: number) => Math.abs(got / wanted - 1) < 1e-5;

describe("the work of InternVL2-8B, counted by hand", () => {
  // InternViT-300M: 24 layers of 1025 rows with 12 · 1024² weights each, and scores of 1025² pairs.
  const tower = 24 * (2 * 1025 * 12 * 1024 ** 2 + 4 * 1025 ** 2 * 1024);
  const patches = 2 * 1025 * 588 * 1024;
  const projector = 2 * 256 * 2 * 4096 ** 2;

  it("is 0.72 TFLOP for the tower of a tile, with the projector 0.74", async () => {
    expect(tower).toBeCloseTo(0.722e12, -9);
    expect(agrees(flops(await tile()), tower + patches + projector)).toBe(true);
  });

  it("would be noticed if it were wrong: a layer, the scores or the projector left out", async () => {
    const counted = flops(await tile());
    for (const left of [tower / 24, 24 * 4 * 1025 ** 2 * 1024, projector, patches]) {
      expect(agrees(counted, tower + patches + projector - left)).toBe(false);
    }
  });

  // InternLM2.5-7B: 218.1 M weights a layer.
  const layer = 6144 * 4096 + 4096 ** 2 + 3 * 14336 * 4096;

  it("is 26.1 TFLOP for a prompt of 1856 tokens, of which the last layer finishes but one", () => {
    const pairs = (1856 * 1857) / 2;
    const wqkv = 6144 * 4096;
    const products = 31 * 1856 * layer + 1856 * wqkv + (layer - wqkv) + 92553 * 4096;
    const wanted = 2 * products + 32 * 4 * pairs * 4096;
    expect(wanted / 1e12).toBeCloseTo(26.1, 1);
    expect(agrees(flops(step(1856, 1, { pairs, positions: 1856 })), wanted)).toBe(true);
  });

  it("reads 14.7 GB of bf16 for a token, and half and about a third of that once quantised", () => {
    const run = step(1, 1, { pairs: 1857, positions: 1857 });
    const bytes = (weights: "checkpoint" | "int8" | "int4") =>
      sum(workOf(run, { ...holding, weights }).map((work) => work.weightBytes));
    expect(bytes("checkpoint") / 1e9).toBeCloseTo(2 * (32 * layer + 92553 * 4096) * 1e-9, 1);
    expect(bytes("checkpoint") / 1e9).toBeCloseTo(14.7, 1);
    expect(bytes("int8") / bytes("checkpoint")).toBeCloseTo(0.5, 2);
    expect(bytes("int4") / bytes("checkpoint")).toBeLessThan(0.36);
  });

  it("counts keys and values: 128 KiB for each position that is looked at, in bf16", () => {
    const at = (positions: number) =>
      sum(workOf(step(1, 1, { pairs: positions, positions }), holding).map((work) => work.bytes));
    expect(at(1001) - at(1)).toBe(1000 * 32 * 2 * 8 * 128 * 2);
  });

  it("has a weight for every matrix of the checkpoint", async () => {
    const graphs = [await tile(), step(1, 1, { pairs: 1, positions: 1 })];
    const values = sum(
      graphs.flatMap(({ graph }) => graph.weights).map(({ rows, columns }) => rows * columns),
    );
    const stored = sum(
      [...expectedTensors(description).values()].map((shape) => shape.reduce((a, b) => a * b, 1)),
    );
    // The class embedding and the bias of the patches are added to the table of positions at load.
    expect(stored - values).toBe(2 * 1024);
  });
});

describe("the least time of an operation", () => {
  const limits: LimitSample = {
    readGigabytesPerSecond: 30,
    f32Teraflops: 0.2,
    bf16Teraflops: 2,
    int8Teraops: 4,
  };
  const w2 = (
    tokens: number,
    weights: "checkpoint" | "int8" | "int4",
    precision: "fast" | "f32" = "fast",
  ) => {
    const work = workOf(step(tokens, 1, { pairs: 1, positions: 1 }), { ...holding, weights, precision });
    return work.find(
      ({ operation }) => operation.kind === "matmul" && operation.weight.name.endsWith("w2.weight"),
    )!;
  };

  it("is what reading its weights takes for one token, and what its products take for many", () => {
    const weights = 14336 * 4096;
    expect(leastMilliseconds(w2(1, "checkpoint"), limits)).toBeCloseTo((2 * weights) / 30e6, 1);
    expect(leastMilliseconds(w2(512, "checkpoint"), limits)).toBeCloseTo((2 * 512 * weights) / 2e9, 3);
    expect(leastMilliseconds(w2(512, "int8"), limits)).toBeCloseTo((2 * 512 * weights) / 4e9, 3);
    expect(leastMilliseconds(w2(512, "int4"), limits)).toBeCloseTo((2 * 512 * weights) / 4e9, 3);
    expect(leastMilliseconds(w2(512, "checkpoint", "f32"), limits)).toBeCloseTo((2 * 512 * weights) / 2e8, 3);
  });

  it("falls back on wider numbers where there is no instruction", () => {
    const old = { ...limits, bf16Teraflops: null, int8Teraops: null };
    expect(leastMilliseconds(w2(512, "int8"), old)).toBeCloseTo((2 * 512 * 14336 * 4096) / 2e8, 3);
  });
});
