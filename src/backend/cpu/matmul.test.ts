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
import type { Weight } from "../../graph/tensor.ts";
import type { WeightFormat } from "./weights.ts";

const variants = await kernelVariants();
const precisions = ["f32", "fast"] as const;
type Precision = (typeof precisions)[number];

/** How weights reach the kernels: as bf16 or f32 panels, or quantised at load. */
const formats = ["bf16", "f32", "int8", "int4"] as const;
type Format = (typeof formats)[number];

/** Columns that share a scale of the int8 activations in fast mode, where there are integer dot products. */
const spans: Partial<Record<Format, number>> = { int8: 512, int4: 32 };
const hasIntegers = (variant: string) => ["avx512bf16", "amx", "simd128", "relaxed"].includes(variant);

/** Rows, columns and outputs that no tile divides, and some that all do. */
const shapes: readonly (readonly [rows: number, columns: number, outputs: number])[] = [
  [7, 3, 1],
  [2, 16, 15],
  [7, 64, 16],
  [8, 588, 17],
  [9, 65, 33],
  [1, 1024, 100],
  [12, 1600, 31],
  [13, 588, 100],
  [33, 1024, 33],
  [64, 65, 100],
  [100, 588, 31],
  [300, 2100, 48],
  [1025, 64, 100],
];

/** A checkpoint whose products are f32 tensors of given values. */
class GivenStore extends MadeUpStore {
  readonly #given = new Map<string, Float32Array>();

  give({ name, rows, columns }: Weight, values: Float32Array): void {
    this.tensors.set(name, { name, dtype: "F32", shape: [rows, columns], file: "given", start: 0, end: 0 });
    this.#given.set(name, values);
  }

  override readRows(name: string, firstRow: number, rows: number): Promise<Uint8Array> {
    const values = this.#given.get(name);
    if (!values) return super.readRows(name, firstRow, rows);
    const { shape } = this.tensors.get(name)!;
    const part = values.slice(firstRow * shape[1], (firstRow + rows) * shape[1]);
    return Promise.resolve(new Uint8Array(part.buffer));
  }

  override readFloats(name: string): Promise<Float32Array> {
    const values = this.#given.get(name);
    return values ? Promise.resolve(values) : super.readFloats(name);
  }
}

/** To the nearest bf16, ties to even. */
function toBf16(value: number): number {
  const word = new Uint32Array(Float32Array.of(value).buffer);
  word[0] = ((word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16) << 16;
  return new Float32Array(word.buffer)[0];
}

/** What a format makes of the values `[rows, columns]`: see pack.h. */
function stored(values: Float32Array, columns: number, format: Format): Float32Array {
  if (format === "f32") return values;
  // The made-up checkpoint's bf16 tensors are cut off, not rounded.
  if (format === "bf16") {
    const words = new Uint32Array(values.buffer).map((word) => (word & 0xffff0000) >>> 0);
    return new Float32Array(words.buffer);
  }
  const result = new Float32Array(values.length);
  const group = format === "int8" ? columns : 32;
  for (let row = 0; row < values.length; row += columns) {
    for (let first = row; first < row + columns; first += group) {
      const end = Math.min(first + group, row + columns);
      const part = values.subarray(first, end);
      const extreme = part.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
      const scale = format === "int8" ? Math.fround(Math.abs(extreme) / 127) : toBf16(extreme / -8);
      for (let i = first; i < end; i++) {
        const ratio = scale === 0 ? 0 : Math.fround(values[i] / scale);
        const q = Math.sign(ratio) * Math.round(Math.abs(ratio));
        result[i] = Math.fround((format === "int8" ? q : Math.max(-8, Math.min(7, q))) * scale);
      }
    }
  }
  return result;
}

interface Products extends Case {
  /** The same with the weights as the format stores them, in f32. */
  readonly exact: Case;
}

/** "added to": all that may follow but the table, whose rows depend on where the batch begins. */
type Kind = "plain" | "added to" | "everything" | "gated";

function products(
  kind: Kind,
  format: Format,
  [rows, columns, outputs]: readonly [number, number, number],
  x = randomFloats(rows * columns, 11),
  residual = randomFloats(rows * outputs, 8),
): Products {
  const store = new GivenStore();
  const exactStore = new GivenStore();
  const product = (name: string, seed: number) => {
    const options = { dtype: format === "bf16" ? "BF16" : "F32", seed, spread: 0.3 } as const;
    const weight = store.weight(`language_model.${name}`, outputs, columns, options);
    const values = randomFloats(outputs * columns, seed, 0.3);
    exactStore.give(weight, stored(values, columns, format));
    return weight;
  };
  const vector = (name: string, shape: [number, number], seed: number): Weight => {
    const values = randomFloats(shape[0] * shape[1], seed);
    return { name, rows: shape[0], columns: shape[1], use: "product", source: { values } };
  };
  const first = product("first", 3);
  const second = kind === "gated" ? product("second", 4) : undefined;
  const graph = recorded((g) => {
    const input = g.input("x", "f32", rows, columns);
    if (second) g.output("y", g.gatedMatmul(input, first, second));
    else if (kind === "plain") g.output("y", g.matmul(input, first));
    else {
      const bias = vector("bias", [outputs, 1], 5);
      const scale = vector("scale", [outputs, 1], 6);
      const table = kind === "everything" ? vector("table", [Math.max(1, rows >> 1), outputs], 7) : undefined;
      const added = g.input("residual", "f32", rows, outputs);
      g.output("y", g.matmul(input, first, { bias, activation: "gelu", scale, residual: added, table }));
    }
  });
  const inputs: Case["inputs"] = kind === "everything" || kind === "added to" ? { x, residual } : { x };
  return { store, graph, inputs, exact: { store: exactStore, graph, inputs } };
}

const weightsOf = (format: Format): WeightFormat =>
  format === "int8" || format === "int4" ? format : "checkpoint";

async function computed(
  of: Case,
  {
    variant,
    precision,
    format,
    lanes = 1,
  }: { variant: string; precision: Precision; format: Format; lanes?: number },
): Promise<Float32Array> {
  const backend = await cpuBackend(variant, precision, { weights: weightsOf(format), lanes });
  return (await runCase(backend, of)).y as Float32Array;
}

/**
 * By how many standard deviations the answers miss, at most, when each activation is off by a rounding error that is
 * spread evenly over a step of its span: the largest magnitude over 127.
 */
async function deviations(
  got: Float32Array,
  wanted: Float32Array,
  { exact }: Products,
  [rows, columns, outputs]: readonly [number, number, number],
  span: number,
): Promise<number> {
  const weights = await exact.store.readFloats("language_model.first");
  const x = exact.inputs.x as Float32Array;
  let most = 0;
  for (let n = 0; n < rows; n++) {
    const variances = new Float64Array(outputs);
    for (let from = 0; from < columns; from += span) {
      const end = Math.min(from + span, columns);
      const largest = x
        .subarray(n * columns + from, n * columns + end)
        .reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const variance = (largest / 127) ** 2 / 12;
      for (let m = 0; m < outputs; m++) {
        for (let k = from; k < end; k++) variances[m] += weights[m * columns + k] ** 2 * variance;
      }
    }
    for (let m = 0; m < outputs; m++) {
      const miss = Math.abs(got[n * outputs + m] - wanted[n * outputs + m]);
      most = Math.max(most, miss / (Math.sqrt(variances[m]) + 1e-5));
    }
  }
  return most;
}

const limits = { f32: 3e-6, fast: 1e-4 };

describe.skipIf(variants.length === 0).each(formats)("products of %s weights", (format) => {
  // The plain backend is slow: one answer for all variants.
  const answers = new Map<string, Promise<Float32Array>>();
  const wanted = (key: string, of: Products, precision: Precision) => {
    const answer =
      answers.get(key + precision) ?? reference(of.exact, precision).then(({ y }) => y as Float32Array);
    answers.set(key + precision, answer);
    return answer;
  };

  describe.each(variants)("%s", (variant) => {
    it.each(precisions)("%s: agree with the plain backend over awkward shapes", async (precision) => {
      const span = precision === "fast" && hasIntegers(variant) ? spans[format] : undefined;
      for (const shape of shapes) {
        const of = products("plain", format, shape);
        const got = await computed(of, { variant, precision, format });
        if (span) {
          const exact = await wanted(`plain ${shape.join()}`, of, "f32");
          // A uniform error is bounded by 1.8 deviations, sums of them are normal.
          const missed = await deviations(got, exact, of, shape, span);
          expect(missed, shape.join()).toBeLessThan(6);
        } else {
          const answer = await wanted(`plain ${shape.join()}`, of, precision);
          expect(relativeDifference(got, answer), shape.join()).toBeLessThan(limits[precision]);
        }
      }
    });

    it.each(["everything", "gated"] as const)("%s: agree, too", async (kind) => {
      // Of the range: bf16 has 8 bits; int8 has 7, less what a span's outliers take from the other columns.
      const rounding = spans[format] && hasIntegers(variant) ? 0.05 : 0.01;
      for (const shape of [
        [1, 65, 33],
        [3, 588, 100],
        [33, 64, 17],
        [50, 1024, 31],
      ] as const) {
        const of = products(kind, format, shape);
        const answer = await wanted(`${kind} ${shape.join()}`, of, "f32");
        const got = await computed(of, { variant, precision: "f32", format });
        expect(relativeDifference(got, answer), shape.join()).toBeLessThan(limits.f32);
        const fast = await computed(of, { variant, precision: "fast", format });
        expect(relativeDifference(fast, answer), shape.join()).toBeLessThan(rounding);
      }
    });

    it("would not agree with a product that has one wrong weight", async () => {
      const shape = [9, 65, 33] as const;
      const of = products("plain", format, shape);
      const weights = await of.exact.store.readFloats("language_model.first");
      // The last weight of all, where a kernel's last tile ends.
      weights[weights.length - 1] += 0.25;
      const { y } = await reference(of.exact, "f32");
      const got = await computed(of, { variant, precision: "f32", format });
      expect(relativeDifference(got, y)).toBeGreaterThan(10 * limits.f32);
      if (spans[format] && hasIntegers(variant)) {
        const fast = await computed(of, { variant, precision: "fast", format });
        expect(await deviations(fast, y as Float32Array, of, shape, spans[format])).toBeGreaterThan(6);
      }
    });

    it.each(precisions)(
      "%s: a row has the same bits alone, in any batch, with any lanes",
      async (precision) => {
        const [rows, columns, outputs] = [70, 1600, 50];
        for (const kind of ["plain", "added to", "gated"] as const) {
          const x = randomFloats(rows * columns, 21);
          const residual = randomFloats(rows * outputs, 22);
          const some = (first: number, count: number, lanes = 1) => {
            const part = x.slice(first * columns, (first + count) * columns);
            const added = residual.slice(first * outputs, (first + count) * outputs);
            const of = products(kind, format, [count, columns, outputs], part, added);
            return computed(of, { variant, precision, format, lanes });
          };
          const all = await some(0, rows);
          expect(await some(0, rows, 2)).toEqual(all);
          for (const [first, count] of [
            [0, 1],
            [69, 1],
            [5, 8],
            [20, 13],
            [1, 33],
          ]) {
            const part = await some(first, count);
            expect(part, `${count} rows from ${first}`).toEqual(
              all.slice(first * outputs, (first + count) * outputs),
            );
          }
        }
      },
    );
  });
});

describe.skipIf(variants.length === 0).each(variants)("products, %s", (variant) => {
  it("of the largest integers are exact", async () => {
    // Every weight and every activation is the largest of its span: the integer sums are as large as they can be.
    const shape = [2, 1024, 16] as const;
    for (const format of ["int8", "int4"] as const) {
      const x = new Float32Array(2048).fill(-127);
      const of = products("plain", format, shape, x);
      const weight = of.graph.weights[0];
      const largest = format === "int8" ? 127 : -8;
      (of.store as GivenStore).give(weight, new Float32Array(weight.rows * weight.columns).fill(largest));
      const y = await computed(of, { variant, precision: "fast", format });
      expect([...y], format).toEqual(new Array(32).fill(-127 * largest * 1024));
    }
  });

  it("a value that is not a number spoils its own row only", async () => {
    for (const format of formats) {
      for (const precision of precisions) {
        const shape = [3, 600, 20] as const;
        const x = randomFloats(1800, 2);
        x[600 + 77] = NaN;
        const y = await computed(products("plain", format, shape, x), { variant, precision, format });
        expect([...y.slice(0, 20), ...y.slice(40)].every(Number.isFinite)).toBe(true);
        expect([...y.slice(20, 40)].every(Number.isNaN), `${format} ${precision}`).toBe(true);
      }
    }
  });

  it("stop within 100 ms when the run is cancelled", async () => {
    const of = products("plain", "f32", [2048, 1024, 1024]);
    const { graph } = of;
    const repeated = recorded((g) => {
      const x = g.input("x", "f32", 2048, 1024);
      let y = g.matmul(x, graph.weights[0]);
      for (let i = 0; i < 9; i++) y = g.matmul(y, graph.weights[0]);
      g.output("y", y);
    });
    const backend = await cpuBackend(variant, "f32");
    const weights = await backend.loadWeights(repeated.weights, of.store, {});
    const program = await backend.prepare(repeated, weights);
    // Other processes may hold the processor: the best of some attempts counts.
    let soonest = Infinity;
    for (let attempt = 0; attempt < 5 && soonest >= 100; attempt++) {
      const controller = new AbortController();
      let since = 0;
      setTimeout(() => {
        since = performance.now();
        controller.abort();
      }, 20);
      await expect(program.run(of.inputs, { signal: controller.signal })).rejects.toThrow("abort");
      soonest = Math.min(soonest, performance.now() - since);
    }
    expect(soonest).toBeLessThan(100);
    program.dispose();
    weights.dispose();
  });
});
