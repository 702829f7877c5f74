import { describe, expect, it } from "vitest";
import {
  type Case,
  MadeUpStore,
  randomFloats,
  recorded,
  reference,
  relativeDifference,
  runCase,
} from "../../../../test/backend-comparison.ts";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { WebGpuBackend } from "../backend.ts";

const adapters = await presentAdapters("lavapipe", "SwiftShader");
const layout = { layers: 2, keyValueHeads: 2, headSize: 16, pageSize: 4 };
const heads = 4;

/** Two layers of attention over two sequences that have nothing but their new tokens, and over them once more. */
function turnedAttention(): Case {
  const store = new MadeUpStore();
  const columns = (heads + 2 * layout.keyValueHeads) * layout.headSize;
  const projections = [0, 1].map((layer) =>
    store.weight(`qkv${layer}`, columns, layer === 0 ? 24 : heads * layout.headSize),
  );
  const graph = recorded((g) => {
    let x = g.input("x", "f32", 3, 24);
    const angles = g.input("angles", "f32", 3, layout.headSize);
    const slots = g.input("slots", "u32", 3, 1);
    const tables = {
      starts: g.input("starts", "u32", 3, 1),
      lengths: g.input("lengths", "u32", 2, 1),
      pages: g.input("pages", "u32", 2, 2),
    };
    for (const [layer, projection] of projections.entries()) {
      const place = { layer, heads, cache: layout };
      const qkv = g.matmul(x, projection);
      const query = g.columns(qkv, 0, heads * layout.headSize);
      const [key, value] = [0, 1].map((i) =>
        g.columns(
          qkv,
          (heads + i * layout.keyValueHeads) * layout.headSize,
          layout.keyValueHeads * layout.headSize,
        ),
      );
      const turned = g.rotary({ query, key, value, angles, slots }, place);
      x = g.pagedAttention({ query: turned, ...tables }, place);
    }
    g.output("y", x);
  });
  const inputs = {
    x: randomFloats(3 * 24, 7),
    angles: randomFloats(3 * layout.headSize, 8),
    slots: Uint32Array.of(4, 5, 0),
    starts: Uint32Array.of(0, 2, 3),
    lengths: Uint32Array.of(2, 1),
    pages: Uint32Array.of(1, 3, 0, 2),
  };
  return { store, graph, inputs, cache: { layout, pages: 4 } };
}

describe.each(adapters)("a rotary and attention on %s", (adapter) => {
  it.each([
    "decode threads 32 unroll 1 with rotary",
    "whole threads 32 unroll 1 together 1 with rotary",
    "plain",
  ])("by %s", async (variant) => {
    const of = turnedAttention();
    const backend = new WebGpuBackend(await openAdapter(adapter, `trial,variant=${variant}`), "f32");
    const { y } = await runCase(backend, of);
    expect(relativeDifference(y, (await reference(of)).y)).toBeLessThan(1e-5);
    const findings = [...backend.choices.findings].filter(([name]) => name.includes("attention"));
    expect(findings.map(([name]) => name)).toEqual([
      "rotary and paged attention 4/2x16 f32 rows 4 of 2 up to 1024",
    ]);
    expect(findings[0][1].variant).toContain(variant);
    for (const note of findings[0][1].notes) expect(note).toMatch(/µs$/);
    await backend[Symbol.asyncDispose]();
  });

  it("by splits without subgroups", async () => {
    const of = turnedAttention();
    const settings = "trial,portable,variant=decode portable";
    const backend = new WebGpuBackend(await openAdapter(adapter, settings), "f32");
    const { y } = await runCase(backend, of);
    expect(relativeDifference(y, (await reference(of)).y)).toBeLessThan(1e-5);
    const [name, finding] = [...backend.choices.findings].find(([each]) => each.includes("attention"))!;
    expect(name).toBe("paged attention 4/2x16 f32 rows 4 of 2 up to 1024");
    expect(finding.variant).toBe("decode portable");
    await backend[Symbol.asyncDispose]();
  });
});
