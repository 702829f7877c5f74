import { describe, expect, it } from "vitest";
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
import { WebGpuBackend } from "./backend.ts";

const adapters = await presentAdapters("lavapipe", "SwiftShader");

/** A norm and the product that reads it, for one row: on a device with subgroups, several variants. */
function normedProduct(): Case {
  const store = new MadeUpStore();
  const norm = store.weight("norm", 96, 1, { use: "product" });
  const weight = store.weight("product", 70, 96);
  const graph = recorded((g) => {
    const x = g.input("x", "f32", 1, 96);
    g.output("y", g.matmul(g.rmsNorm(x, norm, 1e-5), weight));
  });
  return { store, graph, inputs: { x: randomFloats(96, 7) } };
}

describe.each(adapters)("variants on %s", (adapter) => {
  it("are compiled, compared and timed before one is chosen", async () => {
    const of = normedProduct();
    const backend = new WebGpuBackend(await openAdapter(adapter, "trial"), "f32");
    const { y } = await runCase(backend, of);
    expect(relativeDifference(y, (await reference(of)).y)).toBeLessThan(1e-6);
    const [[name, { variant, notes }]] = [...backend.choices.findings];
    expect(name).toMatch(/^norm and product 96x70 bf16 plain rows 1$/);
    expect(notes.length).toBeGreaterThan(1);
    for (const note of notes) expect(note).toMatch(/^(gemv|plain).* [\d.]+ µs$/);
    expect(notes.some((note) => note.startsWith(variant))).toBe(true);
    await backend[Symbol.asyncDispose]();
  });

  it("can be forced, and are all right", async () => {
    const of = normedProduct();
    const wanted = (await reference(of)).y;
    for (const variant of ["plain", "gemv", "with norm"]) {
      const backend = new WebGpuBackend(await openAdapter(adapter, `trial,variant=${variant}`), "f32");
      const { y } = await runCase(backend, of);
      expect(relativeDifference(y, wanted)).toBeLessThan(1e-6);
      expect([...backend.choices.findings.values()][0].variant).toContain(variant);
      await backend[Symbol.asyncDispose]();
    }
  });
});
