import { describe, expect, it, vi } from "vitest";
import { MadeUpStore, randomFloats, recorded } from "../../../../test/backend-comparison.ts";
import type { Recorder } from "../../../graph/recorder.ts";
import type { Weight } from "../../../graph/tensor.ts";
import { WebGpuBackend } from "../backend.ts";
import { openDevice } from "../device.ts";
import { parseSettings } from "../settings.ts";
import type { WebGpuWeights } from "../weights.ts";
import { halvesOf } from "./halves.ts";

const rows = 12;

/** A feed-forward block, as the language model and the vision tower have it. */
function block(g: Recorder, weights: Record<"norm" | "gate" | "up" | "down" | "one" | "two", Weight>) {
  const x = g.input("x", "f32", rows, 64);
  const residual = g.matmul(x, weights.one);
  const normed = g.rmsNorm(residual, weights.norm, 1e-5);
  const hidden = g.gatedMatmul(normed, weights.gate, weights.up);
  const added = g.matmul(hidden, weights.down, { residual });
  const bent = g.matmul(added, weights.one, { activation: "gelu" });
  const last = g.matmul(bent, weights.one, { residual: added });
  return { residual, normed, hidden, added, bent, last, y: g.matmul(last, weights.two) };
}

function made() {
  const store = new MadeUpStore();
  const weights = {
    norm: store.weight("norm", 64, 1),
    gate: store.weight("gate", 96, 64),
    up: store.weight("up", 96, 64),
    down: store.weight("down", 64, 96),
    one: store.weight("one", 64, 64),
    two: store.weight("two", 24, 64),
  };
  const found: ReturnType<typeof block>[] = [];
  const graph = recorded((g) => {
    const tensors = block(g, weights);
    found.push(tensors);
    g.output("y", tensors.y);
  });
  return { store, graph, tensors: found[0] };
}

/** The device that computes nothing, as if it had subgroups of one size. */
async function backendWithMatrixUnits(): Promise<WebGpuBackend> {
  const device = await openDevice(parseSettings("null"));
  const info = { ...device.info, subgroupMinSize: 32, subgroupMaxSize: 32 };
  Object.defineProperty(device, "info", { value: info });
  expect(device.hasMatrixUnits).toBe(true);
  return new WebGpuBackend(device, "fast");
}

describe("activations kept in f16", () => {
  it("are those that only products on matrix units read", async () => {
    const { graph, tensors } = made();
    const weight = () => ({ format: "f16", parts: [{}] }) as never;
    const names = (mayRound: boolean, found = weight) => {
      const halves = halvesOf(graph, { mayRound, weight: found });
      return Object.entries(tensors).flatMap(([name, { storage }]) => (halves.has(storage) ? [name] : []));
    };
    expect(names(true)).toEqual(["normed", "hidden", "bent", "last"]);
    expect(names(false)).toEqual([]);
    expect(names(true, () => ({ format: "bf16", parts: [{}] }) as never)).toEqual([]);
    expect(names(true, () => ({ format: "int8", parts: [{}, {}] }) as never)).toEqual([]);
  });

  it("are written and read by kernels that fit each other", async () => {
    const { store, graph } = made();
    const backend = await backendWithMatrixUnits();
    const weights = (await backend.loadWeights(graph.weights, store)) as WebGpuWeights;
    // What the device says of their size means nothing.
    for (const [, placed] of weights.entries()) if (placed.kind === "product") placed.format = "f16";
    const compiled = vi.spyOn(backend.pipelines, "get");
    const program = await backend.prepare(graph, weights);
    await program.run({ x: randomFloats(rows * 64, 3) }); // a binding that does not fit would be an error
    const keys = compiled.mock.calls.map(([{ key }]) => key);
    expect(keys.some((key) => key.includes("gated from f16 to f16 wide"))).toBe(true);
    expect(keys.some((key) => key.includes("residual from f16 to f32 wide"))).toBe(true);
    await backend[Symbol.asyncDispose]();
  });
});
