import { describe, expect, it } from "vitest";
import {
  type Case,
  cpuBackend,
  kernelVariants,
  MadeUpStore,
  randomFloats,
  recorded,
  reference,
  relativeDifference,
  runCase,
} from "../../../test/backend-comparison.ts";

const variants = await kernelVariants();

interface Shape {
  readonly groups: number;
  readonly groupRows: number;
  readonly heads: number;
  readonly headSize: number;
}

/** Attention over views of one [q | k | v], as the vision model has them. */
function attentionCase({ groups, groupRows, heads, headSize }: Shape, spread = 1): Case {
  const rows = groups * groupRows;
  const columns = heads * headSize;
  const graph = recorded((g) => {
    const qkv = g.input("qkv", "f32", rows, 3 * columns);
    const [query, key, value] = [0, 1, 2].map((i) => g.columns(qkv, i * columns, columns));
    g.output("y", g.attention({ query, key, value }, { heads, headSize, groupRows }));
  });
  const qkv = randomFloats(rows * 3 * columns, rows + columns, spread);
  return { store: new MadeUpStore(), graph, inputs: { qkv } };
}

/** Of bf16 operands: 8 bits in q, k, v and the weights. Where a variant has no bf16 products, fast is f32. */
const tolerances = { f32: 2e-6, fast: 1.5e-2 } as const;

const shapes: Shape[] = [
  { groups: 3, groupRows: 1, heads: 1, headSize: 16 },
  { groups: 2, groupRows: 5, heads: 3, headSize: 80 },
  { groups: 2, groupRows: 65, heads: 2, headSize: 32 },
  { groups: 1, groupRows: 257, heads: 25, headSize: 128 },
  { groups: 1, groupRows: 1025, heads: 2, headSize: 64 },
  { groups: 1, groupRows: 66, heads: 2, headSize: 96 },
  { groups: 2, groupRows: 7, heads: 2, headSize: 12 },
  { groups: 1, groupRows: 641, heads: 1, headSize: 7 },
];

const answers = new Map<Shape, Promise<ArrayLike<number>>>();

/** The plain backend's answer to a shape, worked out once. */
function plainly(shape: Shape): Promise<ArrayLike<number>> {
  const answer = answers.get(shape) ?? reference(attentionCase(shape)).then(({ y }) => y);
  answers.set(shape, answer);
  return answer;
}

describe.each(variants)("attention inside tiles, %s", (variant) => {
  it.each(shapes)("$groups of $groupRows rows, $heads heads of $headSize", async (shape) => {
    const of = attentionCase(shape);
    const wanted = await plainly(shape);
    for (const precision of ["f32", "fast"] as const) {
      const got = (await runCase(await cpuBackend(variant, precision), of)).y;
      expect(relativeDifference(got, wanted)).toBeLessThan(tolerances[precision]);
    }
  });

  it("gives the same bits on any number of lanes", async () => {
    const of = attentionCase({ groups: 1, groupRows: 300, heads: 3, headSize: 32 });
    for (const precision of ["f32", "fast"] as const) {
      const [one, ...more] = await Promise.all(
        [1, 2, 3].map(
          async (lanes) => (await runCase(await cpuBackend(variant, precision, { lanes }), of)).y,
        ),
      );
      for (const other of more) expect(other.every((value, i) => value === one[i])).toBe(true);
    }
  });

  it("keeps to the numbers where scores are far apart", async () => {
    const of = attentionCase({ groups: 1, groupRows: 70, heads: 2, headSize: 64 }, 12);
    const got = (await runCase(await cpuBackend(variant, "f32"), of)).y;
    expect(relativeDifference(got, (await reference(of)).y)).toBeLessThan(1e-5);
  });

  it("answers NaN where a row holds one, and nowhere else", async () => {
    const shape = { groups: 2, groupRows: 40, heads: 2, headSize: 16 };
    const of = attentionCase(shape);
    // A query of the first tile's first head.
    (of.inputs.qkv as Float32Array)[3 * 96 + 2] = Number.NaN;
    for (const precision of ["f32", "fast"] as const) {
      const got = (await runCase(await cpuBackend(variant, precision), of)).y;
      const bad = [...got.keys()].filter((i) => Number.isNaN(got[i]));
      expect(bad).toEqual(Array.from({ length: 16 }, (_, i) => 3 * 32 + i));
    }
  });

  it("is told apart from a wrong answer: a key changed by a hundredth", async () => {
    const of = attentionCase({ groups: 1, groupRows: 65, heads: 1, headSize: 16 });
    const wanted = (await reference(of)).y;
    const changed = (of.inputs.qkv as Float32Array).slice();
    changed[64 * 48 + 16 + 3] += 0.05;
    const got = (await runCase(await cpuBackend(variant, "f32"), { ...of, inputs: { qkv: changed } })).y;
    expect(relativeDifference(got, wanted)).toBeGreaterThan(tolerances.f32);
  });

  it("ends when it is cancelled, and runs again", async () => {
    const { store, graph, inputs } = attentionCase({ groups: 2, groupRows: 300, heads: 4, headSize: 64 });
    const backend = await cpuBackend(variant, "f32");
    const program = await backend.prepare(graph, await backend.loadWeights(graph.weights, store));
    const { y } = await program.run(inputs);
    const controller = new AbortController();
    const running = program.run(inputs, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    expect(relativeDifference((await program.run(inputs)).y, y)).toBe(0);
    program.dispose();
  });
});
