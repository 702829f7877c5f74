import { afterAll, describe, expect, it } from "vitest";
import {
  type Case,
  MadeUpStore,
  randomFloats,
  recorded,
  reference,
  relativeDifference,
  runCase,
} from "../../../test/backend-comparison.ts";
import { openAdapter, presentAdapters } from "../../../test/support/adapters.ts";
import { beams, greedy, pickCase, samples } from "../../../test/support/pick-cases.ts";
import { WebGpuBackend } from "./backend.ts";

/** With optional features and without: what a cautious browser gives is held to the same. */
const arms = (await presentAdapters("lavapipe", "SwiftShader")).flatMap((adapter) =>
  ["", "stock"].map((words) => ({ adapter, words, arm: `${adapter} ${words}`.trim() })),
);

describe.each(arms)("kernels on $arm", ({ adapter, words }) => {
  const backend = openAdapter(adapter, words).then((device) => new WebGpuBackend(device, "f32"));
  afterAll(async () => (await backend)[Symbol.asyncDispose]());

  const difference = async (of: Case): Promise<number> =>
    relativeDifference((await runCase(await backend, of)).y, (await reference(of)).y);

  it.each([
    [1, 3],
    [7, 100],
    [33, 1000],
  ])("norms of %i rows of %i", async (rows, columns) => {
    for (const kind of ["layerNorm", "rmsNorm"] as const) {
      for (const shift of [0, 1000]) {
        if (kind === "rmsNorm" && shift > 0) continue;
        const store = new MadeUpStore();
        const weight = store.weight("norm.weight", columns, 1, { dtype: "F32" });
        const bias = store.weight("norm.bias", columns, 1, { dtype: "F32", seed: 3 });
        const graph = recorded((g) => {
          const x = g.input("x", "f32", rows, columns);
          g.output(
            "y",
            kind === "layerNorm" ? g.layerNorm(x, weight, bias, 1e-6) : g.rmsNorm(x, weight, 1e-5),
          );
        });
        const x = randomFloats(rows * columns, columns).map((value) => value + shift);
        expect(await difference({ store, graph, inputs: { x } })).toBeLessThan(2e-6);
      }
    }
  });

  it.each([
    ["bf16", "BF16"],
    ["f32", "F32"],
  ] as const)("products with weights of %s and everything after", async (_, dtype) => {
    for (const [rows, columns, outputs] of [
      [1, 100, 70],
      [7, 64, 33],
      [33, 130, 5],
      [2, 3, 2],
    ]) {
      const store = new MadeUpStore();
      const weight = (name: string, seed: number, columnCount = columns) =>
        store.weight(name, outputs, columnCount, { dtype, seed });
      const [product, up] = [weight("product", 5), weight("up", 6)];
      const [bias, scale] = [weight("bias", 7, 1), weight("scale", 8, 1)];
      const table = {
        name: "table",
        rows: 3,
        columns: outputs,
        use: "rows" as const,
        source: { values: randomFloats(3 * outputs, 9) },
      };
      const x = randomFloats(rows * (columns + 5), 1);
      const residual = randomFloats(rows * outputs, 2);
      const record = (y: (g: Parameters<Parameters<typeof recorded>[0]>[0]) => void) => recorded(y);
      const whole = record((g) => {
        const input = g.columns(g.input("x", "f32", rows, columns + 5), 2, columns);
        const y = g.matmul(input, product, {
          bias,
          activation: "gelu",
          scale,
          residual: g.input("residual", "f32", rows, outputs),
          table,
        });
        g.output("y", y);
      });
      expect(await difference({ store, graph: whole, inputs: { x, residual } })).toBeLessThan(2e-6);
      const gated = record((g) => {
        const input = g.columns(g.input("x", "f32", rows, columns + 5), 4, columns);
        g.output("y", g.gatedMatmul(input, product, up));
      });
      expect(await difference({ store, graph: gated, inputs: { x } })).toBeLessThan(2e-6);
    }
  });

  it("gathers, scatters and looks up exactly", async () => {
    const moves = recorded((g) => {
      const x = g.input("x", "f32", 6, 33);
      const all = g.gatherRows(x, g.constant(Uint32Array.of(0, 1, 2, 3, 4, 5), 6, 1));
      const some = g.gatherRows(x, g.constant(Uint32Array.of(4, 4), 2, 1));
      const scattered = g.scatterRows(all, some, g.constant(Uint32Array.of(1, 0), 2, 1));
      g.output("y", g.gatherRows(scattered, g.constant(Uint32Array.of(5, 0, 3, 3, 2, 1), 3, 2)));
    });
    expect(
      await difference({ store: new MadeUpStore(), graph: moves, inputs: { x: randomFloats(198, 6) } }),
    ).toBe(0);
    for (const dtype of ["BF16", "F32"] as const) {
      for (const columns of [37, 64]) {
        const store = new MadeUpStore();
        const table = store.weight("table", 11, columns, { use: "rows", dtype });
        const graph = recorded((g) => g.output("y", g.embed(table, g.input("ids", "u32", 4, 1))));
        const of = { store, graph, inputs: { ids: Uint32Array.of(10, 0, 3, 3) } };
        expect(await difference(of)).toBe(0);
        const beyond = { ...of, inputs: { ids: Uint32Array.of(0, 11, 0, 0) } };
        await expect(difference(beyond)).rejects.toThrow(RangeError);
      }
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
    expect(await difference({ store: new MadeUpStore(), graph, inputs: { tiles } })).toBeLessThan(1e-6);
  });

  it("picks greedily, by draws and for beams", async () => {
    const cases = [
      ...[1, 7, 5001].map((vocabulary) => pickCase(randomFloats(vocabulary * greedy.length, 5, 6), greedy)),
      pickCase(randomFloats(5001 * samples.length, 9, 6), samples),
      pickCase(randomFloats(300 * beams.length, 4, 5), beams, { count: 6 }),
      // 601 equals: 600 would make 0.8 of them a whole number, and rounding decide.
      pickCase(
        randomFloats(601 * samples.length, 3, 2).map((value, i) =>
          Math.floor(i / 601) % 3 === 0 ? 1.5 : i % 601 > 20 ? -Infinity : Math.round(value),
        ),
        samples,
      ),
    ];
    const damaged = randomFloats(3 * 5000, 8);
    damaged[5000 + 4999] = Number.NaN;
    cases.push(pickCase(damaged, [{}, { temperature: 1 }, { beams: true }]));
    for (const of of cases) {
      const [got, wanted] = [await runCase(await backend, of), await reference(of)];
      expect(got.tokens).toEqual(wanted.tokens);
      for (const [i, score] of wanted.scores.entries()) {
        if (Number.isFinite(score)) expect(Math.abs(got.scores[i] - score)).toBeLessThan(2e-5);
        else expect(got.scores[i]).toBe(score);
      }
    }
  });
});
