import { describe, expect, it } from "vitest";
import { fakeStore } from "../../../test/support/fake-store.ts";
import { randomNumbers, randomWeight as weight } from "../../../test/support/matrices.ts";
import "../../../test/support/to-be-allclose.ts";
import { type Graph, Recorder } from "../../graph/recorder.ts";
import type { Weight } from "../../graph/tensor.ts";
import type { KeyValueCache, Program } from "../backend.ts";
import { ReferenceBackend } from "./backend.ts";

const store = fakeStore(new Map());

async function prepare(graph: Graph, precision: "f32" | "fast" = "f32"): Promise<Program> {
  const backend = new ReferenceBackend(precision);
  return backend.prepare(graph, await backend.loadWeights(graph.weights, store));
}

/** Products one after another, `layers` of them: something that takes a while. */
function chain(layers: number, rows: number, width: number): Graph {
  const g = new Recorder("chain");
  let x = g.input("x", "f32", rows, width);
  for (let i = 0; i < layers; i++) {
    const [n, w] = [weight(`n${i}`, width, 1, 2 * i + 1), weight(`w${i}`, width, width, 2 * i + 2)];
    x = g.matmul(g.rmsNorm(x, n, 1e-6), w, { residual: x });
  }
  g.output("y", x);
  return g.finish();
}

describe("a program of the plain backend", () => {
  it("runs again and again, with nothing left of the run before", async () => {
    const program = await prepare(chain(3, 4, 8));
    const [a, b] = [randomNumbers(32, 1), randomNumbers(32, 2)];
    const first = await program.run({ x: a });
    await program.run({ x: b });
    expect(await program.run({ x: a })).toEqual(first);
    expect((await program.run({ x: b })).y).not.toEqual(first.y);
  });

  it("hands out arrays of the caller's own, and leaves inputs as they are", async () => {
    const program = await prepare(chain(1, 2, 4));
    const x = randomNumbers(8, 1);
    const kept = x.slice();
    const { y } = await program.run({ x });
    const before = y.slice();
    y.fill(7);
    expect(x).toEqual(kept);
    expect((await program.run({ x })).y).toEqual(before);
  });

  it("uses the arena it was planned", async () => {
    expect((await prepare(chain(50, 16, 64))).arenaBytes).toBe(3 * 16 * 64 * 4);
  });

  it("gives each row what it gets alone, whatever stands beside it", async () => {
    const rows = randomNumbers(5 * 8, 3);
    const together = (await (await prepare(chain(4, 5, 8), "fast")).run({ x: rows })).y;
    const alone = await prepare(chain(4, 1, 8), "fast");
    for (let n = 0; n < 5; n++) {
      const { y } = await alone.run({ x: rows.slice(n * 8, (n + 1) * 8) });
      expect(y).toEqual(together.slice(n * 8, (n + 1) * 8));
    }
  });

  it("refuses inputs that are not the graph's", async () => {
    const program = await prepare(chain(1, 2, 4));
    await expect(program.run({ x: new Float32Array(7) })).rejects.toThrow("chain: input x");
  });

  it("ends between operations when it is cancelled", async () => {
    const program = await prepare(chain(40, 64, 128));
    const controller = new AbortController();
    const reason = new Error("enough");
    const since = performance.now();
    const whole = program.run({ x: randomNumbers(64 * 128) });
    await whole;
    const wholeTime = performance.now() - since;
    setTimeout(() => controller.abort(reason), wholeTime / 10);
    const start = performance.now();
    await expect(program.run({ x: randomNumbers(64 * 128) }, { signal: controller.signal })).rejects.toBe(
      reason,
    );
    expect(performance.now() - start).toBeLessThan(Math.max(wholeTime, 50));
    // It is as good as new.
    await expect(program.run({ x: randomNumbers(64 * 128) })).resolves.toBeDefined();
  });

  it("does not begin when it was cancelled before", async () => {
    const program = await prepare(chain(1, 2, 4));
    await expect(program.run({ x: randomNumbers(8) }, { signal: AbortSignal.abort() })).rejects.toThrow(
      /abort/i,
    );
  });

  it("lets the event loop turn during a long run", async () => {
    const program = await prepare(chain(40, 64, 128));
    let turns = 0;
    const clock = setInterval(() => turns++, 1);
    const since = performance.now();
    await program.run({ x: randomNumbers(64 * 128) });
    const time = performance.now() - since;
    clearInterval(clock);
    // A turn at least every 8 ms and an operation; half of that is asked for, since machines are busy.
    expect(time).toBeGreaterThan(16);
    expect(turns).toBeGreaterThan(0);
    expect(turns).toBeGreaterThanOrEqual(Math.floor(time / 100));
  });

  it("needs a cache of its own kind where the graph keeps keys and values", async () => {
    const layout = { layers: 1, keyValueHeads: 1, headSize: 4, pageSize: 2 };
    const g = new Recorder("cached");
    const x = g.input("x", "f32", 2, 4);
    const angles = g.constant(Float32Array.of(1, 1, 0, 0, 1, 1, 0, 0), 2, 4);
    const slots = g.constant(Uint32Array.of(0, 1), 2, 1);
    const place = { layer: 0, heads: 1, cache: layout };
    const query = g.rotary({ query: x, key: x, value: x, angles, slots }, place);
    const [starts, lengths] = [g.constant(Uint32Array.of(0, 2), 2, 1), g.constant(Uint32Array.of(2), 1, 1)];
    const pages = g.constant(Uint32Array.of(0), 1, 1);
    g.output("y", g.pagedAttention({ query, starts, lengths, pages }, place));
    const program = await prepare(g.finish());
    const inputs = { x: Float32Array.of(1, 2, 3, 4, 1, 2, 3, 4) };
    await expect(program.run(inputs)).rejects.toThrow(TypeError);
    const foreign = { layout, pages: 1, copyPage() {}, dispose() {} } satisfies KeyValueCache;
    await expect(program.run(inputs, { cache: foreign })).rejects.toThrow(TypeError);
    const cache = new ReferenceBackend("f32").createCache(layout, 1);
    const { y } = await program.run(inputs, { cache });
    expect(y).toBeAllclose([1, 2, 3, 4, 1, 2, 3, 4], { within: 1e-6 });
  });
});

describe("ReferenceBackend", () => {
  it("loads every weight once, and says how far it is", async () => {
    const graph = chain(2, 1, 4);
    const seen: unknown[] = [];
    const loaded = await new ReferenceBackend("f32").loadWeights(graph.weights, store, {
      onProgress: (progress) => seen.push(progress),
    });
    expect(loaded.bytes).toBe(2 * (4 + 16) * 4);
    expect(seen).toHaveLength(4);
    expect(seen.at(-1)).toEqual({ phase: "load", file: "w1", loaded: 4, total: 4 });
  });

  it("stops loading when it is cancelled", async () => {
    const controller = new AbortController();
    const loading = new ReferenceBackend("f32").loadWeights(chain(2, 1, 4).weights, store, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(loading).rejects.toThrow(/abort/i);
  });

  it("refuses weights of another backend, and a graph whose weights it was not given", async () => {
    const backend = new ReferenceBackend("f32");
    const graph = chain(1, 1, 4);
    expect(() => backend.prepare(graph, { bytes: 0, dispose() {} })).toThrow(TypeError);
    const none = await backend.prepare(graph, await backend.loadWeights([], store));
    await expect(none.run({ x: randomNumbers(4) })).rejects.toThrow("weight n0 was not loaded");
  });

  it("puts rows of several tensors together, each in its own number format", async () => {
    const shapes = new Map([
      ["a", [4, 3]],
      ["b", [2, 3]],
    ]);
    const numbered = fakeStore(
      shapes,
      (tensor, row, column) => (tensor === "a" ? 0 : 100) + row * 10 + column,
    );
    const slices = [
      { tensor: "b", firstRow: 1, rows: 1 },
      { tensor: "a", firstRow: 2, rows: 2 },
      { tensor: "b", firstRow: 0, rows: 1 },
    ];
    const joined: Weight = { name: "joined", rows: 4, columns: 3, use: "rows", source: { slices } };
    const g = new Recorder("identity");
    g.output("y", g.embed(joined, g.constant(Uint32Array.of(0, 1, 2, 3), 4, 1)));
    const graph = g.finish();
    const backend = new ReferenceBackend("f32");
    const program = await backend.prepare(graph, await backend.loadWeights(graph.weights, numbered));
    const { y } = await program.run({});
    expect([...y]).toEqual([110, 111, 112, 20, 21, 22, 30, 31, 32, 100, 101, 102]);
  });
});
