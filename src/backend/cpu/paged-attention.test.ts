import { describe, expect, it } from "vitest";
import {
  cpuBackend,
  kernelVariants,
  MadeUpStore,
  randomFloats,
  recorded,
  relativeDifference,
} from "../../../test/backend-comparison.ts";
import type { CacheLayout } from "../../graph/tensor.ts";
import type { Backend, KeyValueCache } from "../backend.ts";
import { ReferenceBackend } from "../reference/backend.ts";

const variants = await kernelVariants();

interface Shape {
  readonly heads: number;
  readonly layout: CacheLayout;
  /** Tokens of each sequence. */
  readonly lengths: readonly number[];
}

/** Sequences of random keys and values on shuffled pages, with NaN on every slot that is none of theirs. */
class Filled {
  readonly shape: Shape;
  readonly queries: readonly Float32Array[];
  readonly pages: readonly Uint32Array[];
  readonly #backend: Backend;
  #cache!: KeyValueCache;

  private constructor(shape: Shape, backend: Backend) {
    const { heads, layout, lengths } = shape;
    this.shape = shape;
    this.#backend = backend;
    this.queries = lengths.map((n, i) => randomFloats(n * heads * layout.headSize, 77 + i));
    const total = lengths.reduce((sum, n) => sum + Math.ceil(n / layout.pageSize), 0);
    // A walk over all pages in steps that share no factor with their number.
    let step = Math.max(2, Math.floor(total / 3));
    while (greatestCommonDivisor(step, total) > 1) step++;
    let next = 0;
    this.pages = lengths.map((n) =>
      Uint32Array.from({ length: Math.ceil(n / layout.pageSize) }, () => (next++ * step) % total),
    );
  }

  static async make(shape: Shape, backend: Backend): Promise<Filled> {
    const filled = new Filled(shape, backend);
    const { layout, lengths } = shape;
    const { pageSize, headSize, keyValueHeads } = layout;
    const total = filled.pages.reduce((sum, list) => sum + list.length, 0);
    filled.#cache = backend.createCache(layout, total);
    const width = keyValueHeads * headSize;
    const [key, value] = [1, 2].map(() => new Float32Array(total * pageSize * width).fill(Number.NaN));
    lengths.forEach((n, b) => {
      const [keys, values] = [1, 2].map((seed) => randomFloats(n * width, b * 2 + seed));
      for (let p = 0; p < n; p++) {
        const slot = filled.pages[b][Math.floor(p / pageSize)] * pageSize + (p % pageSize);
        key.set(keys.subarray(p * width, (p + 1) * width), slot * width);
        value.set(values.subarray(p * width, (p + 1) * width), slot * width);
      }
    });
    const slots = total * pageSize;
    const graph = recorded((g) => {
      const query = g.input("query", "f32", slots, width);
      const place = { layer: layout.layers - 1, heads: keyValueHeads, cache: layout };
      const rows = { key: g.input("key", "f32", slots, width), value: g.input("value", "f32", slots, width) };
      const angles = g.input("angles", "f32", slots, headSize);
      g.output(
        "turned",
        g.rotary({ query, ...rows, angles, slots: g.input("slots", "u32", slots, 1) }, place),
      );
    });
    const program = await backend.prepare(graph, await backend.loadWeights([], new MadeUpStore(), {}));
    const angles = Float32Array.from({ length: slots * headSize }, (_, i) =>
      i % headSize < headSize / 2 ? 1 : 0,
    );
    const inputs = {
      query: new Float32Array(slots * width),
      key,
      value,
      angles,
      slots: Uint32Array.from({ length: slots }, (_, i) => i),
    };
    await program.run(inputs, { cache: filled.#cache });
    program.dispose();
    return filled;
  }

  /** What the tokens `[first, end)` of some sequences attend to, as if those before were cached already. */
  async attend(
    pieces: readonly { readonly of: number; readonly first: number; readonly end: number }[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const { heads, layout } = this.shape;
    const width = heads * layout.headSize;
    const rows = pieces.reduce((sum, { first, end }) => sum + end - first, 0);
    const most = Math.max(...pieces.map(({ of }) => this.pages[of].length));
    const starts = Uint32Array.of(0, ...pieces.map(() => 0));
    const pages = new Uint32Array(pieces.length * most);
    const query = new Float32Array(rows * width);
    pieces.forEach(({ of, first, end }, i) => {
      starts[i + 1] = starts[i] + end - first;
      pages.set(this.pages[of], i * most);
      query.set(this.queries[of].subarray(first * width, end * width), starts[i] * width);
    });
    const graph = recorded((g) => {
      const batch = {
        starts: g.input("starts", "u32", starts.length, 1),
        lengths: g.input("lengths", "u32", pieces.length, 1),
        pages: g.input("pages", "u32", pieces.length, most),
      };
      const place = { layer: layout.layers - 1, heads, cache: layout };
      g.output("y", g.pagedAttention({ query: g.input("query", "f32", rows, width), ...batch }, place));
    });
    const program = await this.#backend.prepare(
      graph,
      await this.#backend.loadWeights([], new MadeUpStore(), {}),
    );
    const lengths = Uint32Array.from(pieces, ({ end }) => end);
    const { y } = await program
      .run({ query, starts, lengths, pages }, { cache: this.#cache, signal })
      .finally(() => program.dispose());
    return pieces.map((_, i) => (y as Float32Array).slice(starts[i] * width, starts[i + 1] * width));
  }

  /** All tokens of all sequences. */
  whole(): Promise<Float32Array[]> {
    return this.attend(this.shape.lengths.map((end, of) => ({ of, first: 0, end })));
  }
}

/** Quicker than a matcher over every element. */
function sameBits(a: Float32Array, b: Float32Array): boolean {
  const [left, right] = [a, b].map(
    (floats) => new Uint32Array(floats.buffer, floats.byteOffset, floats.length),
  );
  return left.length === right.length && left.every((bits, i) => bits === right[i]);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

const answers = new Map<Shape, Promise<Float32Array[]>>();

/** The plain backend's answer to a shape, worked out once. */
function plainly(shape: Shape): Promise<Float32Array[]> {
  const answer =
    answers.get(shape) ?? Filled.make(shape, new ReferenceBackend("f32")).then((filled) => filled.whole());
  answers.set(shape, answer);
  return answer;
}

/** Of bf16 queries, keys, values and weights: 8 bits each. */
const tolerances = { f32: 2e-6, fast: 1.5e-2 } as const;

const shapes: Shape[] = [
  {
    heads: 8,
    layout: { layers: 2, keyValueHeads: 2, headSize: 128, pageSize: 64 },
    lengths: [1, 63, 64, 65, 700],
  },
  { heads: 4, layout: { layers: 1, keyValueHeads: 4, headSize: 96, pageSize: 16 }, lengths: [300, 1, 17] },
  { heads: 14, layout: { layers: 1, keyValueHeads: 2, headSize: 64, pageSize: 16 }, lengths: [257, 256] },
  { heads: 6, layout: { layers: 1, keyValueHeads: 2, headSize: 80, pageSize: 32 }, lengths: [33, 90] },
  { heads: 3, layout: { layers: 1, keyValueHeads: 1, headSize: 16, pageSize: 4 }, lengths: [261, 3] },
  { heads: 2, layout: { layers: 1, keyValueHeads: 1, headSize: 12, pageSize: 16 }, lengths: [40] },
];

describe.each(variants)("attention over pages, %s", (variant) => {
  it.each(shapes)("$lengths tokens, $heads heads, $layout", async (shape) => {
    const wanted = await plainly(shape);
    for (const precision of ["f32", "fast"] as const) {
      const got = await (await Filled.make(shape, await cpuBackend(variant, precision))).whole();
      got.forEach((y, b) => {
        expect(relativeDifference(y, wanted[b])).toBeLessThan(tolerances[precision]);
      });
    }
  });

  it.each(["f32", "fast"] as const)(
    "%s: a row has the same bits however it came to be worked out",
    async (precision) => {
      for (const pageSize of [64, 16, 4]) {
        const layout = { layers: 1, keyValueHeads: 2, headSize: 32, pageSize };
        const shape = { heads: 8, layout, lengths: [700, 65, 300] };
        const whole = await (
          await Filled.make(shape, await cpuBackend(variant, precision, { lanes: 1 }))
        ).whole();
        const row = (of: number, first: number, end: number) => whole[of].slice(first * 256, end * 256);
        // Few lanes take all positions in turn, many share them.
        for (const lanes of [1, 2, 3, 8]) {
          const filled = await Filled.make(shape, await cpuBackend(variant, precision, { lanes }));
          (await filled.whole()).forEach((y, b) => {
            expect(sameBits(y, whole[b])).toBe(true);
          });
          for (const n of [0, 255, 256, 511, 699]) {
            const [alone] = await filled.attend([{ of: 0, first: n, end: n + 1 }]);
            expect(sameBits(alone, row(0, n, n + 1))).toBe(true);
          }
          // A piece of a prompt beside one token of a long sequence and all of another.
          const mixed = [
            { of: 0, first: 250, end: 519 },
            { of: 2, first: 299, end: 300 },
            { of: 1, first: 0, end: 65 },
          ];
          const pieces = await filled.attend(mixed);
          mixed.forEach(({ of, first, end }, i) => {
            expect(sameBits(pieces[i], row(of, first, end))).toBe(true);
          });
        }
      }
    },
  );

  it("ends when it is cancelled, whether or not lanes share the positions of a row", async () => {
    for (const lanes of [1, 8]) {
      const filled = await Filled.make(shapes[2], await cpuBackend(variant, "fast", { lanes }));
      const controller = new AbortController();
      const running = filled.attend([{ of: 0, first: 250, end: 257 }], controller.signal);
      // The run begins once the weights, none, are there.
      await Promise.resolve();
      controller.abort(new Error("enough"));
      await expect(running).rejects.toThrow("enough");
      expect(await filled.whole()).toHaveLength(2);
    }
  });

  it("is told apart from a wrong answer: one position fewer", async () => {
    const shape = shapes[2];
    const filled = await Filled.make(shape, await cpuBackend(variant, "f32"));
    const plain = await Filled.make(shape, new ReferenceBackend("f32"));
    const [got] = await filled.attend([{ of: 0, first: 255, end: 256 }]);
    const [wanted] = await plain.attend([{ of: 0, first: 256, end: 257 }]);
    expect(relativeDifference(got, wanted)).toBeGreaterThan(1e-3);
  });
});
