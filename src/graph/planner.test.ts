import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomWeight as weight } from "../../test/support/matrices.ts";
import { readsOf, writesOf } from "./operations.ts";
import { type Plan, planMemory } from "./planner.ts";
import { type Graph, Recorder } from "./recorder.ts";
import { bytesPerElement, type Storage, type Tensor } from "./tensor.ts";

/** What one step of a random graph does, in numbers that are taken modulo what there is to choose from. */
interface Step {
  readonly kind: number;
  readonly from: number;
  readonly with: number;
  readonly columns: number;
  readonly named: boolean;
}

const steps = fc.array(
  fc.record({
    kind: fc.nat(5),
    from: fc.nat(1000),
    with: fc.nat(1000),
    columns: fc.integer({ min: 1, max: 300 }),
    named: fc.boolean(),
  }),
  { minLength: 1, maxLength: 40 },
);

/** A graph that uses earlier tensors in any order, as views too, and in place; some are outputs. */
function randomGraph(plan: readonly Step[]): Graph {
  const g = new Recorder("random");
  const rows = 7;
  const made: Tensor[] = [g.input("x", "f32", rows, 50)];
  const table = g.constant(
    Uint32Array.from({ length: rows }, (_, i) => (i * 3) % rows),
    rows,
    1,
  );
  const pick = (n: number) => made[n % made.length];
  plan.forEach((step, i) => {
    const x = pick(step.from);
    const y = made.filter(({ columns }) => columns === x.columns)[0];
    const result = {
      0: () => g.matmul(x, weight("w", step.columns, x.columns)),
      1: () => g.matmul(x, weight("w", x.columns, x.columns), { residual: y }),
      2: () => g.rmsNorm(x, weight("n", x.columns, 1), 1e-6),
      3: () => g.gatherRows(x, table),
      4: () =>
        g.matmul(
          g.columns(x, 0, Math.ceil(x.columns / 2)),
          weight("w", step.columns, Math.ceil(x.columns / 2)),
        ),
      5: () => (x.storage.kind === "activation" ? g.scatterRows(x, y, table) : g.gatherRows(x, table)),
    }[step.kind]!();
    made.push(result);
    if (step.named && result.storage.kind === "activation") g.output(`o${i}`, result);
  });
  return g.finish();
}

/**
 * Runs a plan with names in place of numbers: writing a tensor overwrites whatever else lies there, and reading one that
 * was overwritten is a fault. Says what is wrong first, or nothing.
 */
function fault(
  graph: Graph,
  { offsets, arenaBytes }: Pick<Plan, "offsets" | "arenaBytes">,
): string | undefined {
  const there = new Map<Storage, [from: number, to: number]>();
  const missing = (tensors: Iterable<Tensor>) =>
    [...tensors].some(({ storage }) => storage.kind === "activation" && !there.has(storage));
  for (const [at, operation] of graph.operations.entries()) {
    for (const { storage } of writesOf(operation)) {
      const from = offsets.get(storage.id)!;
      const to = from + storage.rows * storage.columns * bytesPerElement[storage.type];
      if (!(from >= 0 && to <= arenaBytes)) return `operation ${at} writes outside the arena`;
      for (const [other, place] of there) {
        if (other !== storage && place[0] < to && from < place[1]) there.delete(other);
      }
      there.set(storage, [from, to]);
    }
    // After the writes: an operation may read its inputs to the end.
    if (missing(readsOf(operation))) return `operation ${at} reads what is overwritten`;
  }
  return missing(graph.outputs.values()) ? "an output is overwritten" : undefined;
}

describe("planMemory", () => {
  it("never overwrites what is still needed, and keeps outputs to the end", () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const graph = randomGraph(plan);
        expect(fault(graph, planMemory(graph))).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it("needs little more than what is alive at once", () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const { arenaBytes, liveBytes } = planMemory(randomGraph(plan));
        expect(arenaBytes).toBeGreaterThanOrEqual(liveBytes);
        expect(arenaBytes).toBeLessThanOrEqual(1.5 * liveBytes);
      }),
      { numRuns: 300 },
    );
  });

  it("aligns every tensor to 256 bytes", () => {
    fc.assert(
      fc.property(steps, (plan) => {
        for (const offset of planMemory(randomGraph(plan)).offsets.values()) expect(offset % 256).toBe(0);
      }),
    );
  });

  it("is caught by the same check when one tensor lies where another is needed", () => {
    const g = new Recorder("chain");
    const x = g.input("x", "f32", 4, 64);
    const a = g.matmul(x, weight("a", 64, 64));
    const b = g.matmul(a, weight("b", 64, 64));
    const c = g.matmul(b, weight("c", 64, 64), { residual: a });
    g.output("c", c);
    const graph = g.finish();
    const { offsets, arenaBytes } = planMemory(graph);
    expect(fault(graph, { offsets, arenaBytes })).toBeUndefined();
    const moved = (tensor: Tensor, onto: Tensor) =>
      new Map(offsets).set(tensor.storage.id, offsets.get(onto.storage.id)!);
    expect(fault(graph, { offsets: moved(b, a), arenaBytes })).toBe("operation 1 reads what is overwritten");
    expect(fault(graph, { offsets: moved(c, a), arenaBytes })).toBe("operation 2 reads what is overwritten");
    expect(fault(graph, { offsets, arenaBytes: arenaBytes - 256 })).toMatch(/outside the arena/);
  });

  it("is caught when an output is not kept", () => {
    const g = new Recorder("outputs");
    const x = g.input("x", "f32", 4, 64);
    const early = g.matmul(x, weight("a", 64, 64));
    g.output("early", early);
    const late = g.matmul(x, weight("b", 64, 64));
    g.output("late", late);
    const graph = g.finish();
    const { offsets, arenaBytes } = planMemory(graph);
    expect(fault(graph, { offsets, arenaBytes })).toBeUndefined();
    const onTop = new Map(offsets).set(late.storage.id, offsets.get(early.storage.id)!);
    expect(fault(graph, { offsets: onTop, arenaBytes })).toBe("an output is overwritten");
  });

  it("uses a place again as soon as it is free", () => {
    const g = new Recorder("long chain");
    let x = g.input("x", "f32", 16, 64);
    for (let i = 0; i < 50; i++) x = g.matmul(x, weight("w", 64, 64));
    g.output("x", x);
    expect(planMemory(g.finish())).toMatchObject({ arenaBytes: 2 * 16 * 64 * 4, liveBytes: 2 * 16 * 64 * 4 });
  });
});
