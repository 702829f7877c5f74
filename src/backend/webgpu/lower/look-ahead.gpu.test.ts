import { describe, expect, it, vi } from "vitest";
import { MadeUpStore, randomFloats, recorded } from "../../../../test/backend-comparison.ts";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import "../../../../test/support/to-be-allclose.ts";
import { ReferenceBackend } from "../../reference/backend.ts";
import { WebGpuBackend } from "../backend.ts";
import { farBytes } from "../kernels/look-ahead.ts";

/** A feed-forward block of one row: four products one after another, one of them gated. */
function made() {
  const store = new MadeUpStore();
  const [norm, gate, up] = [
    store.weight("norm", 64, 1),
    store.weight("gate", 96, 64),
    store.weight("up", 96, 64),
  ];
  const [one, down, last] = [
    store.weight("one", 64, 64),
    store.weight("down", 64, 96),
    store.weight("last", 24, 64),
  ];
  const graph = recorded((g) => {
    const residual = g.matmul(g.input("x", "f32", 1, 64), one);
    const hidden = g.gatedMatmul(g.rmsNorm(residual, norm, 1e-5), gate, up);
    g.output("y", g.matmul(g.matmul(hidden, down, { residual }), last));
  });
  return { store, graph, inputs: { x: randomFloats(64, 3) } };
}

describe.each(await presentAdapters("lavapipe", "SwiftShader"))("pages looked up ahead on %s", (adapter) => {
  it.each([0, farBytes + 1])("with %d bytes of weights", async (bytes) => {
    const { store, graph, inputs } = made();
    const plain = new ReferenceBackend("f32");
    const wanted = await (await plain.prepare(graph, await plain.loadWeights(graph.weights, store))).run(
      inputs,
    );
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const weights = await backend.loadWeights(graph.weights, store);
    Object.defineProperty(weights, "bytes", { value: bytes });
    const compiled = vi.spyOn(backend.pipelines, "get");
    const got = await (await backend.prepare(graph, weights)).run(inputs);
    expect(got.y).toBeAllclose(wanted.y, { ofRange: 1e-5 });
    // All products but the last, where there is something to look up and the device can share sums.
    const keys = compiled.mock.calls.map(([{ key }]) => key);
    const ahead = keys.filter((key) => key.startsWith("gemv") && /ahead[23]$/.test(key));
    const can = bytes > farBytes && backend.device.features.has("subgroups");
    const shapes = new Set(ahead.map((key) => key.split(" ")[1]));
    // Behind the last there is nothing to look up; without subgroups another kernel computes.
    expect([...shapes].sort()).toEqual(can ? ["64x64", "64x96", "96x64"] : []);
    await backend[Symbol.asyncDispose]();
  });
});
