import { setFlagsFromString } from "node:v8";
import { afterEach, describe, expect, it } from "vitest";
import {
  type Case,
  cpuBackend,
  MadeUpStore,
  randomFloats,
  recorded,
  reference,
  relativeDifference,
  runCase,
} from "../../../test/backend-comparison.ts";
import { DeviceError } from "../../errors.ts";
import { CpuBackend } from "./backend.ts";
import { CpuProgram } from "./program.ts";
import { nodeHost } from "./wasm-machine.node.ts";
import { openWasmMachine, type WasmHost, type WasmOptions } from "./wasm-machine.ts";
import { usableWasmVariants } from "./wasm-module.ts";

// Node 20 has relaxed SIMD behind a flag, later ones do not know the flag any more.
if (!usableWasmVariants().includes("relaxed")) setFlagsFromString("--experimental-wasm-relaxed-simd");
const variants = usableWasmVariants();

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const backend of opened.splice(0)) await backend[Symbol.asyncDispose]();
});

async function wasm(
  options: WasmOptions & { host?: WasmHost; precision?: "fast" | "f32"; weights?: "int8" | "int4" } = {},
) {
  const machine = await openWasmMachine(options.host ?? nodeHost, { lanes: 2, ...options });
  if ("absent" in machine) throw new Error(machine.absent);
  const backend = await cpuBackend(machine, options.precision ?? "f32", { weights: options.weights });
  opened.push(backend);
  return backend;
}

const noThreads: WasmHost = { ...nodeHost, threads: { absent: "no threads in this test" } };

/** Every operation, at sizes that no block divides. */
function everything(): Case {
  const layout = { layers: 2, keyValueHeads: 2, headSize: 16, pageSize: 4 };
  const store = new MadeUpStore();
  const vector = (name: string, rows: number) => store.weight(name, rows, 1, { dtype: "F32" });
  const graph = recorded((g) => {
    const pixels = g.patches(g.input("tiles", "u8", 2, 12 * 12 * 3), {
      tileSize: 12,
      patchSize: 6,
      mean: [0.48, 0.45, 0.4],
      deviation: [0.27, 0.26, 0.28],
    });
    const seen = g.matmul(pixels, store.weight("patch", 64, 108, { spread: 0.2 }), {
      bias: vector("bias", 64),
      activation: "gelu",
      table: store.weight("table", 5, 64, { dtype: "F32", use: "rows" }),
    });
    const tower = g.attention(
      { query: seen, key: seen, value: seen },
      { heads: 4, headSize: 16, groupRows: 5 },
    );
    const mixed = g.matmul(tower, store.weight("proj", 64, 64, { spread: 0.2 }), {
      scale: vector("scale", 64),
      residual: seen,
    });
    const normed = g.layerNorm(mixed, vector("weight", 64), vector("shift", 64), 1e-6);
    g.output("vision", normed);
    const x = g.embed(store.weight("tok", 19, 64, { use: "rows" }), g.input("ids", "u32", 7, 1));
    g.scatterRows(x, g.gatherRows(normed, g.input("picked", "u32", 2, 1)), g.input("places", "u32", 2, 1));
    const qkv = g.matmul(x, store.weight("language_model.wqkv", 128, 64, { spread: 0.2 }));
    const place = { layer: 1, heads: 4, cache: layout };
    const query = g.rotary(
      {
        query: g.columns(qkv, 0, 64),
        key: g.columns(qkv, 64, 32),
        value: g.columns(qkv, 96, 32),
        angles: g.input("angles", "f32", 7, 16),
        slots: g.input("slots", "u32", 7, 1),
      },
      place,
    );
    const starts = g.constant(Uint32Array.of(0, 5, 7), 3, 1);
    const lengths = g.constant(Uint32Array.of(5, 2), 2, 1);
    const pages = g.constant(Uint32Array.of(2, 0, 1, 0), 2, 2);
    const read = g.pagedAttention({ query, starts, lengths, pages }, place);
    const [gate, up] = ["gate", "up"].map((name) =>
      store.weight(`language_model.${name}`, 96, 64, { spread: 0.3 }),
    );
    const h = g.gatedMatmul(g.rmsNorm(read, vector("norm", 64), 1e-5), gate, up);
    const logits = g.matmul(h, store.weight("language_model.output", 531, 96));
    g.output("logits", logits);
    // Beams: the two best of each row, in order.
    const settings = g.constant(
      Float32Array.from({ length: 42 }, (_, i) => [1, 0, 0, 1, 1, 0][i % 6]),
      7,
      6,
    );
    const { tokens, scores } = g.pickTokens(logits, { settings, count: 2 });
    g.output("tokens", tokens);
    g.output("scores", scores);
  });
  const inputs = {
    tiles: Uint8Array.from({ length: 864 }, (_, i) => (i * 37) % 256),
    ids: Uint32Array.of(3, 0, 18, 7, 7, 1, 2),
    picked: Uint32Array.of(9, 3),
    places: Uint32Array.of(1, 6),
    angles: randomFloats(112, 3),
    slots: Uint32Array.of(8, 9, 10, 11, 0, 4, 5),
  };
  return { store, graph, inputs, cache: { layout, pages: 3 } };
}

/** A long chain of products. */
function chain(products: number, rows = 64): Case {
  const store = new MadeUpStore();
  const weight = store.weight("w", 512, 512, { spread: 0.05 });
  const graph = recorded((g) => {
    let x = g.input("x", "f32", rows, 512);
    for (let i = 0; i < products; i++) x = g.matmul(x, weight);
    g.output("y", x);
  });
  return { store, graph, inputs: { x: randomFloats(rows * 512, 1) } };
}

describe.each(variants)("WebAssembly, %s", (variant) => {
  it("agrees with the plain backend in every operation", async () => {
    const all = everything();
    const wanted = await reference(all);
    const got = await runCase(await wasm({ variant }), all);
    expect(relativeDifference(got.vision, wanted.vision)).toBeLessThan(2e-6);
    expect(relativeDifference(got.logits, wanted.logits)).toBeLessThan(5e-6);
    expect(got.tokens).toEqual(wanted.tokens);
    expect(relativeDifference(got.scores, wanted.scores)).toBeLessThan(1e-5);
    // The check can fail.
    const other = { ...all, inputs: { ...all.inputs, ids: Uint32Array.of(3, 0, 17, 7, 7, 1, 2) } };
    const different = await runCase(await wasm({ variant }), other);
    expect(relativeDifference(different.logits, wanted.logits)).toBeGreaterThan(1e-3);
  });

  it("rounds where it may, and takes quantised weights", async () => {
    const all = everything();
    const wanted = await reference(all);
    const error = async (options: Parameters<typeof wasm>[0]) =>
      relativeDifference((await runCase(await wasm({ variant, ...options }), all)).logits, wanted.logits);
    const fast = await error({ precision: "fast" });
    expect(fast).toBeLessThan(0.02);
    expect(fast).toBeGreaterThan(1e-5);
    expect(await error({ weights: "int8" })).toBeLessThan(0.05);
    expect(await error({ weights: "int4" })).toBeLessThan(0.5);
  });

  it("gives the same bits on one thread, on two, and on the caller's", async () => {
    const all = everything();
    const two = await runCase(await wasm({ variant }), all);
    for (const options of [{ lanes: 1 }, { lanes: 3 }, { host: noThreads }]) {
      const other = await runCase(await wasm({ variant, ...options }), all);
      expect(other.logits).toEqual(two.logits);
    }
  });
});

describe("the WebAssembly machine", () => {
  it("is refused in a variant that the runtime does not have", async () => {
    await expect(openWasmMachine(nodeHost, { variant: "avx2" })).rejects.toThrow(
      "does not run avx2; it runs simd128",
    );
  });

  it("says when it has one thread only, and why; the event loop turns between operations", async () => {
    const backend = await wasm({ host: noThreads });
    expect(backend.machine.lanes).toBe(1);
    expect(backend.machine.note).toBe("one thread, that of the caller: no threads in this test");
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await runCase(backend, chain(100, 256));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
    expect((await wasm()).machine.note).toBeUndefined();
  });

  it("is absent, and says why, when the module is not there or broken", async () => {
    const gone = { ...nodeHost, readModule: () => Promise.reject(new Error("no such file")) };
    expect(await openWasmMachine(gone)).toEqual({ absent: expect.stringContaining("no such file") });
    const broken = { ...nodeHost, readModule: () => Promise.resolve(Uint8Array.of(0, 1, 2, 3)) };
    expect(await openWasmMachine(broken)).toEqual({ absent: expect.stringContaining("does not start") });
  });

  it("goes on with one thread when none can be started", async () => {
    const threads = {
      source: "",
      start: () => {
        throw new Error("no worker for you");
      },
    };
    const backend = await wasm({ host: { ...nodeHost, threads } });
    expect(backend.machine.note).toContain("no worker for you");
    expect((await runCase(backend, chain(1))).y).toHaveLength(64 * 512);
  });

  it("does not block the caller, and a cancelled run ends within 100 ms", async () => {
    const of = chain(1000, 256);
    const backend = await wasm();
    const weights = await backend.loadWeights(of.graph.weights, of.store, {});
    const program = await backend.prepare(of.graph, weights);
    const reason = new Error("enough");
    const controller = new AbortController();
    let since = 0;
    setTimeout(() => {
      since = performance.now();
      controller.abort(reason);
    }, 50);
    await expect(program.run(of.inputs, { signal: controller.signal })).rejects.toBe(reason);
    expect(since).toBeGreaterThan(0);
    // 100 ms, and what a machine that runs other tests may add.
    expect(performance.now() - since).toBeLessThan(300);
    program.dispose();
    weights.dispose();
    expect((await runCase(backend, chain(1))).y.every(Number.isFinite)).toBe(true);
  });

  it("runs programs one after another when they are asked for together", async () => {
    const backend = await wasm();
    const runs = await Promise.all([
      runCase(backend, chain(3)),
      runCase(backend, chain(3)),
      runCase(backend, chain(5)),
    ]);
    expect(runs[0]).toEqual(runs[1]);
  });

  it("grows while programs hold views of its memory, and gives everything back", async () => {
    const backend = await wasm();
    const of = chain(2);
    const weights = await backend.loadWeights(of.graph.weights, of.store, {});
    const program = await backend.prepare(of.graph, weights);
    const before = await program.run(of.inputs);
    const free = backend.machine.availableBytes();
    const block = backend.machine.allocate(2 ** 28);
    new Uint8Array(block.view(), block.viewOffset, 2 ** 20).fill(255);
    expect(await program.run(of.inputs)).toEqual(before);
    backend.machine.free(block);
    expect(backend.machine.availableBytes()).toBeGreaterThan(free - 2 ** 28);
    program.dispose();
    weights.dispose();
  });

  it("says when 4 GiB are not enough", async () => {
    const { machine } = await wasm();
    expect(() => machine.allocate(2 ** 32)).toThrow(DeviceError);
    expect(() => machine.allocate(2 ** 32)).toThrow("no memory for 4294967296 bytes");
    expect(machine.availableBytes()).toBeLessThan(2 ** 32);
  });

  it.each([["threads", nodeHost] as const, ["the caller's thread", noThreads] as const])(
    "%s: an access out of bounds is a DeviceError, and then nothing runs any more",
    async (_, host) => {
      const { machine } = await wasm({ host });
      const block = machine.allocate(128);
      const words = new BigInt64Array(block.view(), block.viewOffset, 16);
      // One operation, whose place is far beyond the memory's end.
      words.set([1n, 2n ** 32n - 4096n]);
      const waiting = [machine.run(block.address), machine.run(block.address)];
      for (const outcome of await Promise.allSettled(waiting)) {
        expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(DeviceError);
        expect(outcome).toHaveProperty("reason.message", expect.stringContaining("out of bounds"));
      }
      expect(() => machine.allocate(64)).toThrow("load the model again");
      await expect(machine.run(block.address)).rejects.toThrow("load the model again");
    },
  );

  it("a run that is under way fails when the machine is disposed", async () => {
    const of = chain(1000, 256);
    const backend = await wasm();
    const program = await backend.prepare(
      of.graph,
      await backend.loadWeights(of.graph.weights, of.store, {}),
    );
    expect(program).toBeInstanceOf(CpuProgram);
    const run = program.run(of.inputs);
    setTimeout(() => void backend[Symbol.asyncDispose](), 20);
    await expect(run).rejects.toThrow("disposed");
    expect(backend).toBeInstanceOf(CpuBackend);
  });
});
