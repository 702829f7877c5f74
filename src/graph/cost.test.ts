import { describe, expect, it } from "vitest";
import { randomWeight as weight } from "../../test/support/matrices.ts";
import { costOf } from "./cost.ts";
import type { Operation } from "./operations.ts";
import { Recorder } from "./recorder.ts";

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
