import { describe, expect, it } from "vitest";
import {
  type Case,
  cpuBackend,
  MadeUpStore,
  nativeVariants,
  randomFloats,
  recorded,
  reference,
  relativeDifference,
  runCase,
} from "../../../test/backend-comparison.ts";
import { MemoryError } from "../../errors.ts";
import type { CacheLayout, Weight } from "../../graph/tensor.ts";
import { CpuBackend } from "./backend.ts";
import type { Machine } from "./machine.ts";

const variants = await nativeVariants();
const best = variants[variants.length - 1];
const layout: CacheLayout = { layers: 2, keyValueHeads: 2, headSize: 16, pageSize: 4 };

/** A little of everything: three tokens through embedding, attention over pages, and a product. */
function smallNetwork(): Case {
  const store = new MadeUpStore();
  const table = store.weight("table", 11, 64, { use: "rows" });
  const wqkv = store.weight("wqkv", 128, 64, { spread: 0.2 });
  const output = store.weight("output", 23, 64);
  const graph = recorded((g) => {
    const x = g.embed(table, g.input("ids", "u32", 3, 1));
    const qkv = g.matmul(x, wqkv);
    const place = { layer: 1, heads: 4, cache: layout };
    const query = g.rotary(
      {
        query: g.columns(qkv, 0, 64),
        key: g.columns(qkv, 64, 32),
        value: g.columns(qkv, 96, 32),
        angles: g.input("angles", "f32", 3, 16),
        slots: g.input("slots", "u32", 3, 1),
      },
      place,
    );
    const starts = g.constant(Uint32Array.of(0, 3), 2, 1);
    const lengths = g.constant(Uint32Array.of(3), 1, 1);
    const pages = g.constant(Uint32Array.of(2), 1, 1);
    const mixed = g.pagedAttention({ query, starts, lengths, pages }, place);
    g.output("y", g.matmul(mixed, output, { residual: undefined }));
  });
  const inputs = {
    ids: Uint32Array.of(3, 0, 10),
    angles: randomFloats(48, 3),
    slots: Uint32Array.of(8, 9, 10),
  };
  return { store, graph, inputs, cache: { layout, pages: 3 } };
}

describe.skipIf(variants.length === 0)("the cpu backend, natively", () => {
  it.each(variants)("%s: agrees with the plain backend over a small network", async (variant) => {
    const small = smallNetwork();
    const wanted = await reference(small);
    const got = await runCase(await cpuBackend(variant, "f32"), small);
    expect(relativeDifference(got.y, wanted.y)).toBeLessThan(2e-6);
    const fast = await runCase(await cpuBackend(variant, "fast"), small);
    expect(relativeDifference(fast.y, wanted.y)).toBeLessThan(1e-2);
    // The check can fail: another token in the prompt changes the answer.
    const other = { ...small, inputs: { ...small.inputs, ids: Uint32Array.of(3, 1, 10) } };
    const different = await runCase(await cpuBackend(variant, "f32"), other);
    expect(relativeDifference(different.y, wanted.y)).toBeGreaterThan(1e-3);
  });

  it("reports an id beyond its table, and runs on afterwards", async () => {
    const small = smallNetwork();
    const backend = await cpuBackend(best, "f32");
    const wrong = { ...small, inputs: { ...small.inputs, ids: Uint32Array.of(3, 11, 10) } };
    await expect(runCase(backend, wrong)).rejects.toThrow("operation 0 (embed)");
    expect((await runCase(backend, small)).y).toHaveLength(69);
  });

  it("takes weights from slices in any order, in every format", async () => {
    const store = new MadeUpStore();
    store.weight("language_model.a", 40, 96);
    const swapped: Weight = {
      name: "language_model.a",
      rows: 40,
      columns: 96,
      use: "product",
      source: {
        slices: [
          { tensor: "language_model.a", firstRow: 17, rows: 23 },
          { tensor: "language_model.a", firstRow: 0, rows: 17 },
        ],
      },
    };
    const graph = recorded((g) => g.output("y", g.matmul(g.input("x", "f32", 2, 96), swapped)));
    const of = { store, graph, inputs: { x: randomFloats(192, 5) } };
    const wanted = await reference(of);
    const error = async (weights: "checkpoint" | "int8" | "int4") =>
      relativeDifference((await runCase(await cpuBackend(best, "f32", { weights }), of)).y, wanted.y);
    expect(await error("checkpoint")).toBeLessThan(2e-6);
    expect(await error("int8")).toBeLessThan(0.02);
    expect(await error("int4")).toBeLessThan(0.2);
    // The formats really differ.
    expect(await error("int4")).toBeGreaterThan(await error("int8"));
    expect(await error("int8")).toBeGreaterThan(1e-4);
  });

  it("says what would fit before it loads anything", async () => {
    const store = new MadeUpStore();
    const weight = store.weight("language_model.w", 512, 512);
    const machine = { availableBytes: () => 300_000 } as Machine;
    const load = () => new CpuBackend(machine, "fast").loadWeights([weight], store, {});
    await expect(load()).rejects.toThrow(MemoryError);
    await expect(load()).rejects.toThrow('weights: "int8" or weights: "int4"');
    const none = { availableBytes: () => 10 } as Machine;
    await expect(new CpuBackend(none, "fast").loadWeights([weight], store, {})).rejects.toThrow(
      "smaller model",
    );
  });

  it("a cancelled run ends soon, and the next one is whole", async () => {
    const store = new MadeUpStore();
    const weight = store.weight("w", 1024, 1024, { spread: 0.05 });
    const graph = recorded((g) => {
      let x = g.input("x", "f32", 256, 1024);
      for (let i = 0; i < 40; i++) x = g.matmul(x, weight);
      g.output("y", x);
    });
    const of = { store, graph, inputs: { x: randomFloats(256 * 1024, 1) } };
    const backend = await cpuBackend(best, "f32");
    const weights = await backend.loadWeights(graph.weights, store, {});
    const program = await backend.prepare(graph, weights);
    const reason = new Error("enough");
    const controller = new AbortController();
    let since = 0;
    setTimeout(() => {
      since = performance.now();
      controller.abort(reason);
    }, 5);
    await expect(program.run(of.inputs, { signal: controller.signal })).rejects.toBe(reason);
    expect(performance.now() - since).toBeLessThan(500);
    expect((await program.run(of.inputs)).y).toHaveLength(256 * 1024);
    program.dispose();
    weights.dispose();
  });

  it("lets the event loop turn while it computes", async () => {
    const store = new MadeUpStore();
    const weight = store.weight("w", 1024, 1024, { spread: 0.05 });
    const graph = recorded((g) => {
      let x = g.input("x", "f32", 128, 1024);
      for (let i = 0; i < 20; i++) x = g.matmul(x, weight);
      g.output("y", x);
    });
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await runCase(await cpuBackend(best, "f32"), {
      store,
      graph,
      inputs: { x: randomFloats(128 * 1024, 1) },
    });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });
});
