import { describe, expect, it } from "vitest";
import {
  type Case,
  cpuBackend,
  kernelVariants,
  MadeUpStore,
  randomFloats,
  recorded,
  reference,
  relativeDifference,
  runCase,
} from "../../../test/backend-comparison.ts";
import type { Recorder } from "../../graph/recorder.ts";

const variants = await kernelVariants();

async function difference(variant: string, of: Case): Promise<number> {
  const [wanted, got] = [await reference(of), await runCase(await cpuBackend(variant, "f32"), of)];
  return relativeDifference(got.y, wanted.y);
}

function normCase(kind: "layerNorm" | "rmsNorm", rows: number, columns: number, shift = 0): Case {
  const store = new MadeUpStore();
  const weight = store.weight("norm.weight", columns, 1, { dtype: "F32" });
  const bias = store.weight("norm.bias", columns, 1, { dtype: "F32", seed: 3 });
  const graph = recorded((g) => {
    const x = g.input("x", "f32", rows, columns);
    g.output("y", kind === "layerNorm" ? g.layerNorm(x, weight, bias, 1e-6) : g.rmsNorm(x, weight, 1e-5));
  });
  return { store, graph, inputs: { x: randomFloats(rows * columns, columns).map((value) => value + shift) } };
}

/** A case of an operation that moves f32 rows `[rows, columns]` by a list of numbers. */
function movesCase(rows: number, columns: number, record: (g: Recorder) => void): Case {
  return {
    store: new MadeUpStore(),
    graph: recorded(record),
    inputs: { x: randomFloats(rows * columns, rows) },
  };
}

describe.each(variants)("small kernels, %s", (variant) => {
  it.each([
    [2, 3],
    [3, 7],
    [2, 64],
    [5, 1000],
    [9, 3200],
  ])("norms of %i rows of %i", async (rows, columns) => {
    for (const kind of ["layerNorm", "rmsNorm"] as const) {
      expect(await difference(variant, normCase(kind, rows, columns))).toBeLessThan(1e-6);
    }
  });

  it("layerNorm of a row far from 0", async () => {
    expect(await difference(variant, normCase("layerNorm", 3, 1024, 1000))).toBeLessThan(1e-6);
    // The check can fail: rmsNorm of the same rows is not their layerNorm.
    const [of, other] = [normCase("layerNorm", 3, 1024, 1), normCase("rmsNorm", 3, 1024, 1)];
    expect(relativeDifference((await reference(of)).y, (await reference(other)).y)).toBeGreaterThan(1e-2);
  });

  it.each([
    [2, 1],
    [16, 3],
    [128, 4],
  ])("rotary: heads of %i, as many as %i times the cached ones", async (headSize, sharing) => {
    const cache = { layers: 2, keyValueHeads: 2, headSize, pageSize: 16 };
    const width = 2 * headSize;
    const rows = 5;
    const graph = recorded((g) => {
      const input = (name: string, columns: number) => g.input(name, "f32", rows, columns);
      const values = {
        query: input("query", width * sharing),
        key: input("key", width),
        value: input("value", width),
        angles: input("angles", headSize),
        slots: g.input("slots", "u32", rows, 1),
      };
      g.output("y", g.rotary(values, { layer: 1, heads: 2 * sharing, cache }));
    });
    const inputs = {
      query: randomFloats(rows * width * sharing, 1),
      key: randomFloats(rows * width, 2),
      value: randomFloats(rows * width, 3),
      angles: randomFloats(rows * headSize, 4),
      slots: Uint32Array.of(0, 31, 7, 8, 16),
    };
    const of = { store: new MadeUpStore(), graph, inputs, cache: { layout: cache, pages: 2 } };
    expect(await difference(variant, of)).toBeLessThan(2e-7);
  });

  it("gathers and scatters rows exactly", async () => {
    const gathered = movesCase(6, 33, (g) => {
      const list = g.constant(Uint32Array.of(5, 0, 3, 3, 2, 1), 3, 2);
      g.output("y", g.gatherRows(g.input("x", "f32", 6, 33), list));
    });
    expect(await difference(variant, gathered)).toBe(0);
    const scattered = movesCase(6, 33, (g) => {
      const x = g.input("x", "f32", 6, 33);
      const all = g.gatherRows(x, g.constant(Uint32Array.of(0, 1, 2, 3, 4, 5), 6, 1));
      const some = g.gatherRows(x, g.constant(Uint32Array.of(4, 4), 2, 1));
      g.output("y", g.scatterRows(all, some, g.constant(Uint32Array.of(1, 0), 2, 1)));
    });
    expect(await difference(variant, scattered)).toBe(0);
  });

  it("looks rows up exactly, in bf16 and f32", async () => {
    for (const dtype of ["BF16", "F32"] as const) {
      const store = new MadeUpStore();
      const table = store.weight("table", 11, 37, { use: "rows", dtype });
      const graph = recorded((g) => g.output("y", g.embed(table, g.input("ids", "u32", 4, 1))));
      expect(await difference(variant, { store, graph, inputs: { ids: Uint32Array.of(10, 0, 3, 3) } })).toBe(
        0,
      );
    }
  });

  it("cuts tiles into patches", async () => {
    const options = {
      tileSize: 28,
      patchSize: 14,
      mean: [0.485, 0.456, 0.406] as const,
      deviation: [0.229, 0.224, 0.225] as const,
    };
    const graph = recorded((g) => g.output("y", g.patches(g.input("tiles", "u8", 2, 28 * 28 * 3), options)));
    const tiles = Uint8Array.from({ length: 2 * 28 * 28 * 3 }, (_, i) => (i * 7919) % 256);
    expect(await difference(variant, { store: new MadeUpStore(), graph, inputs: { tiles } })).toBeLessThan(
      1e-7,
    );
  });
});
