import { describe, expect, it, vi } from "vitest";
import { MadeUpStore, randomFloats, recorded, runCase } from "../../../test/backend-comparison.ts";
import { openAdapter, presentAdapters, settingsFor } from "../../../test/support/adapters.ts";
import { loadGolden } from "../../../test/support/golden.ts";
import { DeviceError, MemoryError } from "../../errors.ts";
import type { Progress } from "../../progress.ts";
import { WebGpuBackend } from "./backend.ts";
import { usage } from "./memory.ts";
import { Recording } from "./recording.ts";
import type { WebGpuWeights } from "./weights.ts";

const adapters = await presentAdapters("lavapipe", "SwiftShader");

/** `y = x · weightᵀ` of one row. */
function product(columns = 64, outputs = 40) {
  const store = new MadeUpStore();
  const weight = store.weight("product", outputs, columns);
  const graph = recorded((g) => g.output("y", g.matmul(g.input("x", "f32", 1, columns), weight)));
  return { store, graph, weight, inputs: { x: randomFloats(columns, 3) } };
}

describe.each(adapters)("the backend on %s", (adapter) => {
  it("gives back every byte, and knows the most it had", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const { memory } = backend;
    const before = memory.usedBytes;
    const of = product();
    await runCase(backend, of);
    await Promise.resolve();
    expect(memory.usedBytes - backend.arena.bytes).toBe(before);
    expect(memory.peakBytes).toBeGreaterThan(memory.usedBytes);
    const most = memory.peakBytes;
    memory.free(memory.allocate("large", most, usage.storage));
    expect(memory.peakBytes).toBe(before + backend.arena.bytes + most);
    await backend[Symbol.asyncDispose]();
  });

  it("says before it reads that weights do not fit, and which would", async () => {
    const { store, graph } = product();
    store.readRows = () => Promise.reject(new Error("was read"));
    const backend = new WebGpuBackend(await openAdapter(adapter, "memory=1000"), "f32");
    const refused = await backend.loadWeights(graph.weights, store).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(MemoryError);
    expect(refused).toMatchObject({ needed: 40 * 64 * 2, free: 1000 });
    await backend[Symbol.asyncDispose]();
  });

  it("takes what stays on the device into runs that begin before it is there, and frees what nobody holds", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const store = new MadeUpStore();
    const [one, two] = [store.weight("one", 40, 64), store.weight("two", 24, 40)];
    const first = recorded((g) => g.output("y", g.matmul(g.input("x", "f32", 3, 64), one), { stays: true }));
    const second = recorded((g) => g.output("z", g.matmul(g.input("y", "f32", 4, 40), two)));
    const weights = await backend.loadWeights([one, two], store);
    const [make, take] = [await backend.prepare(first, weights), await backend.prepare(second, weights)];
    const x = randomFloats(3 * 64, 5);
    const own = randomFloats(2 * 40, 6);
    const { y } = (await make.run({ x })) as { y: Float32Array };
    const wanted = await take.run({
      y: Float32Array.of(...own.slice(40), ...y.slice(40), ...own.slice(0, 40)),
    });
    const before = backend.memory.usedBytes;
    const made = make.start({ x });
    const pieces = [
      { of: own, first: 1, count: 1 },
      { of: made.staying.y, first: 1, count: 2 },
      { of: own, first: 0, count: 1 },
    ];
    const taken = take.start({ y: pieces });
    made.staying.y.letGo();
    expect((await taken.outputs).z).toEqual(wanted.z);
    expect(await made.outputs).toEqual({});
    await Promise.resolve();
    expect(backend.memory.usedBytes).toBeLessThanOrEqual(before + 2 * (3 * 40 + 24) * 4);
    expect(() => made.staying.y.hold()).toThrow("freed");
    const short = take.start({ y: [{ of: own, first: 0, count: 2 }] });
    await expect(short.outputs).rejects.toThrow("input y is 2 rows, want f32 [4, 40]");
    await backend[Symbol.asyncDispose]();
  });

  it("does not touch the arena for a new program while a run is being submitted", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const { arena, submissions } = backend;
    const { graph, store } = product(512, 640);
    const weights = await backend.loadWeights(graph.weights, store);
    const inTurn: boolean[] = [];
    let submitting = false;
    const reserve = arena.reserve.bind(arena);
    vi.spyOn(arena, "reserve").mockImplementation((bytes) => {
      inTurn.push(!submitting);
      return reserve(bytes);
    });
    const submitted = submissions.enter(async () => {
      submitting = true;
      await new Promise((resolve) => setTimeout(resolve, 50));
      submitting = false;
    });
    const prepared = backend.prepare(graph, weights);
    await submitted;
    (await prepared).dispose();
    expect(inTurn.length).toBeGreaterThan(0);
    expect(inTurn).not.toContain(false);
    await backend[Symbol.asyncDispose]();
  });

  it("tells how far it is with choosing kernels, once, and stops when it is told to", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter, "trial"), "f32");
    const { graph, store } = product();
    const weights = await backend.loadWeights(graph.weights, store);
    const told: Progress[] = [];
    const onProgress = (progress: Progress) => void told.push(progress);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(backend.prepare(graph, weights, { onProgress, signal })).rejects.toThrow("enough");
    expect(told.splice(0)).toEqual([{ phase: "compile", loaded: 0, total: 1 }]);
    (await backend.prepare(graph, weights, { onProgress })).dispose();
    expect(told.splice(0).map(({ loaded, total }) => [loaded, total])).toEqual([
      [0, 1],
      [1, 1],
    ]);
    (await backend.prepare(graph, weights, { onProgress })).dispose();
    expect(told).toEqual([]);
    await backend[Symbol.asyncDispose]();
  });

  it("reports an id beyond its table, and knows nothing of it in the next run", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const store = new MadeUpStore();
    const table = store.weight("table", 8, 64);
    const graph = recorded((g) => g.output("y", g.embed(table, g.input("ids", "u32", 2, 1))));
    const weights = await backend.loadWeights([table], store);
    const program = await backend.prepare(graph, weights);
    await expect(program.run({ ids: Uint32Array.of(1, 8) })).rejects.toThrow("an id beyond its table");
    const { y } = await program.run({ ids: Uint32Array.of(1, 7) });
    expect(y.length).toBe(128);
    await expect(program.run({ ids: Uint32Array.of(9, 1) })).rejects.toThrow(RangeError);
    await backend[Symbol.asyncDispose]();
  });

  it("does a run again that met a number too large for f16, and every run that took from it", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const store = new MadeUpStore();
    const [one, two] = [store.weight("one", 40, 64), store.weight("two", 24, 40)];
    const graphs = [
      recorded((g) => g.output("y", g.matmul(g.input("x", "f32", 2, 64), one), { stays: true })),
      recorded((g) => g.output("z", g.matmul(g.input("y", "f32", 2, 40), two))),
    ];
    const weights = await backend.loadWeights([one, two], store);
    const [make, take] = await Promise.all(graphs.map((graph) => backend.prepare(graph, weights)));
    const x = randomFloats(2 * 64, 5);
    const { y } = await make.run({ x });
    const { z } = await take.run({ y });
    let reads = 0;
    const whole = Recording.prototype.read;
    const counted = vi.spyOn(Recording.prototype, "read").mockImplementation(function (
      this: Recording,
      encoded,
    ) {
      return { ...whole.call(this, encoded), overflow: reads++ === 0 };
    });
    const made = make.start({ x });
    const taken = take.start({ y: [{ of: made.staying.y, first: 0, count: 2 }] });
    expect((await taken.outputs).z).toEqual(z);
    expect(await made.staying.y.read()).toEqual(y);
    expect(reads).toBe(4); // each of the two, and each again
    made.staying.y.letGo();
    counted.mockRestore();
    await backend[Symbol.asyncDispose]();
  });

  it("keeps weights beyond f16 as they are, and those of the same shape beside them", async () => {
    const device = await openAdapter(adapter);
    Object.defineProperty(device, "hasMatrixUnits", { value: true });
    const backend = new WebGpuBackend(device, "fast");
    const store = new MadeUpStore();
    const all = [
      store.weight("gate", 40, 64),
      store.weight("up", 40, 64, { spread: 2 ** 20 }),
      store.weight("down", 64, 40),
    ];
    const loaded = (await backend.loadWeights(all, store)) as WebGpuWeights;
    expect(all.map((weight) => loaded.get(weight).format)).toEqual(["bf16", "bf16", "f16"]);
    await backend[Symbol.asyncDispose]();
  });

  it("runs programs of one backend in turns, each with its own sizes", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const [small, large] = [product(64, 40), product(200, 3000)];
    const weights = await Promise.all(
      [small, large].map((of) => backend.loadWeights(of.graph.weights, of.store)),
    );
    const first = await backend.prepare(small.graph, weights[0]);
    const { y } = await first.run(small.inputs);
    const second = await backend.prepare(large.graph, weights[1]);
    const { y: wide } = await second.run(large.inputs);
    expect((await first.run(small.inputs)).y).toEqual(y);
    expect((await second.run(large.inputs)).y).toEqual(wide);
    const [again, wideAgain] = await Promise.all([first.run(small.inputs), second.run(large.inputs)]);
    expect([again.y, wideAgain.y]).toEqual([y, wide]);
    await backend[Symbol.asyncDispose]();
  });

  it("is cancelled by a signal", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const of = product();
    const weights = await backend.loadWeights(of.graph.weights, of.store);
    const program = await backend.prepare(of.graph, weights);
    const reason = new Error("enough");
    const run = program.run(of.inputs, { signal: AbortSignal.abort(reason) });
    await expect(run).rejects.toBe(reason);
    expect((await program.run(of.inputs)).y).toHaveLength(40);
    await backend[Symbol.asyncDispose]();
  });

  it("says that the device was lost, after which another can be opened", async () => {
    const of = product();
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const weights = await backend.loadWeights(of.graph.weights, of.store);
    const program = await backend.prepare(of.graph, weights);
    const { y } = await program.run(of.inputs);
    backend.device.gpu.destroy();
    await backend.device.gpu.lost;
    const lost = await program.run(of.inputs).catch((error: unknown) => error);
    expect(lost).toBeInstanceOf(DeviceError);
    expect((lost as Error).message).toMatch(/lost.*load the model again/);
    const another = new WebGpuBackend(await openAdapter(adapter), "f32");
    expect((await runCase(another, of)).y).toEqual(y);
    await another[Symbol.asyncDispose]();
  });

  it("loads a model again in the process that lost one", async () => {
    vi.stubEnv("INTERNVL_WEBGPU", settingsFor(adapter));
    for (let i = 0; i < 2; i++) {
      await using model = await loadGolden("tiny-1b", "fast", "webgpu");
      expect(model.device).toBe("webgpu");
    }
    vi.unstubAllEnvs();
  });
});

describe("a corrupted kernel", () => {
  it.each(adapters)("is found out on %s", async (adapter) => {
    const of = product();
    const right = new WebGpuBackend(await openAdapter(adapter, "portable"), "f32");
    const { y } = await runCase(right, of);
    const wrong = new WebGpuBackend(await openAdapter(adapter, "portable"), "f32");
    const { pipelines } = wrong;
    const real = pipelines.get.bind(pipelines);
    // One product less in each sum.
    pipelines.get = (kernel) =>
      real({ ...kernel, code: kernel.code.replace("for (var k4 = 0u;", "for (var k4 = 1u;") });
    const { y: damaged } = await runCase(wrong, of);
    expect(damaged).not.toEqual(y);
    await right[Symbol.asyncDispose]();
    await wrong[Symbol.asyncDispose]();
  });
});
