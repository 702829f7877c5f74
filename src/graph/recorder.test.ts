import { describe, expect, it } from "vitest";
import { randomWeight as weight } from "../../test/support/matrices.ts";
import { ShapeError } from "../errors.ts";
import { readsOf, weightsOf, writesOf } from "./operations.ts";
import { Recorder } from "./recorder.ts";
import type { Tensor } from "./tensor.ts";

const cache = { layers: 2, keyValueHeads: 2, headSize: 4, pageSize: 8 };

/** A recorder with some tensors to try things on. */
function bench() {
  const g = new Recorder("test");
  return {
    g,
    x: g.input("x", "f32", 6, 8),
    ids: g.input("ids", "u32", 6, 1),
    tiles: g.input("tiles", "u8", 2, 28 * 28 * 3),
  };
}

describe("Recorder", () => {
  it("gives each operation's result its shape", () => {
    const { g, x, ids, tiles } = bench();
    const shape = ({ rows, columns }: Tensor) => [rows, columns];
    expect(shape(g.embed(weight("table", 11, 8), ids))).toEqual([6, 8]);
    expect(shape(g.matmul(x, weight("w", 5, 8)))).toEqual([6, 5]);
    expect(shape(g.gatedMatmul(x, weight("gate", 5, 8), weight("up", 5, 8)))).toEqual([6, 5]);
    expect(shape(g.rmsNorm(x, weight("n", 8, 1), 1e-5))).toEqual([6, 8]);
    expect(shape(g.gatherRows(x, g.constant(Uint32Array.of(0, 1, 2, 3), 2, 2)))).toEqual([2, 16]);
    const options = { patchSize: 14, mean: [0, 0, 0], deviation: [1, 1, 1] } as const;
    expect(shape(g.patches(tiles, { ...options, tileSize: 28 }))).toEqual([2 * (1 + 4), 3 * 14 * 14]);
  });

  it("keeps operations in order, names, and each weight once", () => {
    const { g, x } = bench();
    const w = weight("w", 8, 8);
    const y = g.matmul(x, w);
    g.output("z", g.matmul(y, w, { residual: y }));
    const graph = g.finish();
    expect(graph.name).toBe("test");
    expect(graph.operations.map(({ kind }) => kind)).toEqual(["matmul", "matmul"]);
    expect([...graph.inputs.keys()]).toEqual(["x", "ids", "tiles"]);
    expect([...graph.outputs.keys()]).toEqual(["z"]);
    expect(graph.weights).toEqual([w]);
    const [, last] = graph.operations;
    expect(readsOf(last)).toEqual([y, y]);
    expect(writesOf(last)).toEqual([graph.outputs.get("z")]);
    expect(weightsOf(last)).toEqual([w]);
  });

  it("takes columns of columns", () => {
    const { g, x } = bench();
    const view = g.columns(g.columns(x, 2, 5), 1, 3);
    expect(view).toMatchObject({ firstColumn: 3, columns: 3, rows: 6, storage: x.storage });
  });

  it("scatters in place", () => {
    const { g, x } = bench();
    const y = g.matmul(x, weight("w", 8, 8));
    const z = g.scatterRows(y, g.columns(x, 0, 8), g.input("rows", "u32", 6, 1));
    expect(z).toBe(y);
  });

  const mistakes: Record<string, (b: ReturnType<typeof bench>) => unknown> = {
    "two inputs of one name": ({ g }) => g.input("x", "f32", 1, 1),
    "two outputs of one name": ({ g, x }) => {
      g.output("y", g.matmul(x, weight("w", 5, 8)));
      g.output("y", g.matmul(x, weight("w", 5, 8)));
    },
    "an input without rows": ({ g }) => g.input("y", "f32", 0, 1),
    "an input of half a column": ({ g }) => g.input("y", "f32", 1, 1.5),
    "a constant of another size": ({ g }) => g.constant(new Float32Array(5), 2, 3),
    "columns past the end": ({ g, x }) => g.columns(x, 4, 5),
    "no columns": ({ g, x }) => g.columns(x, 4, 0),
    "columns before the start": ({ g, x }) => g.columns(x, -1, 2),
    "an output that is a view": ({ g, x }) => g.output("y", g.columns(x, 0, 4)),
    "ids that are not u32": ({ g, x }) => g.embed(weight("t", 9, 8), g.columns(x, 0, 1)),
    "two ids a row": ({ g }) => g.embed(weight("t", 9, 8), g.input("pairs", "u32", 3, 2)),
    "a scatter of other columns": ({ g, x, ids }) => g.scatterRows(g.matmul(x, weight("w", 5, 8)), x, ids),
    "a scatter with too few places": ({ g, x }) =>
      g.scatterRows(g.matmul(x, weight("w", 8, 8)), x, g.input("few", "u32", 5, 1)),
    "a scatter into an input": ({ g, x, ids }) => g.scatterRows(x, x, ids),
    "a scatter by numbers that are not u32": ({ g, x }) =>
      g.scatterRows(g.matmul(x, weight("w", 8, 8)), x, g.columns(x, 0, 1)),
    "tiles of another size": ({ g, tiles }) =>
      g.patches(tiles, { tileSize: 42, patchSize: 14, mean: [0, 0, 0], deviation: [1, 1, 1] }),
    "patches that do not fill a tile": ({ g, tiles }) =>
      g.patches(tiles, { tileSize: 28, patchSize: 12, mean: [0, 0, 0], deviation: [1, 1, 1] }),
    "a product of other columns": ({ g, x }) => g.matmul(x, weight("w", 5, 7)),
    "a bias of another length": ({ g, x }) => g.matmul(x, weight("w", 5, 8), { bias: weight("b", 6, 1) }),
    "a scale of another length": ({ g, x }) => g.matmul(x, weight("w", 5, 8), { scale: weight("s", 4, 1) }),
    "a residual of another shape": ({ g, x }) => g.matmul(x, weight("w", 5, 8), { residual: x }),
    "a table of another width": ({ g, x }) => g.matmul(x, weight("w", 5, 8), { table: weight("t", 3, 8) }),
    "a gate and an up of other shapes": ({ g, x }) =>
      g.gatedMatmul(x, weight("gate", 5, 8), weight("up", 6, 8)),
    "a layer norm of another width": ({ g, x }) => g.layerNorm(x, weight("n", 8, 1), weight("b", 7, 1), 1e-5),
    "an RMS norm of another width": ({ g, x }) => g.rmsNorm(x, weight("n", 7, 1), 1e-5),
    "row numbers that are not u32": ({ g, x }) => g.gatherRows(x, g.columns(x, 0, 1)),
    "heads that do not make up the columns": ({ g, x }) =>
      g.attention({ query: x, key: x, value: x }, { heads: 3, headSize: 4, groupRows: 6 }),
    "groups that do not make up the rows": ({ g, x }) =>
      g.attention({ query: x, key: x, value: x }, { heads: 2, headSize: 4, groupRows: 4 }),
    "a rotation of other heads": ({ g, x }) => rotate(g, x, { heads: 3 }),
    "angles of another width": ({ g, x }) => rotate(g, x, { angleColumns: 2 }),
    "slots of another number": ({ g, x }) => rotate(g, x, { slotRows: 5 }),
    "a layer that the cache does not have": ({ g, x }) => rotate(g, x, { layer: 2 }),
    "query heads that no key-value head divides": ({ g }) =>
      rotate(g, g.input("wide", "f32", 6, 12), { heads: 3 }),
    "paged attention with starts of another number": ({ g, x }) => attend(g, x, { starts: 2 }),
    "paged attention with pages of another number": ({ g, x }) => attend(g, x, { pages: 3 }),
    "paged attention over other heads": ({ g, x }) => attend(g, x, { heads: 4 }),
    "paged attention in a layer that the cache does not have": ({ g, x }) => attend(g, x, { layer: 7 }),
    "settings of other columns": ({ g, x }) => g.pickTokens(x, { settings: x, count: 1 }),
    "no tokens": ({ g, x }) => g.pickTokens(x, { settings: g.input("s", "f32", 6, 6), count: 0 }),
    "more tokens than there are": ({ g, x }) =>
      g.pickTokens(x, { settings: g.input("s", "f32", 6, 6), count: 9 }),
    "a list of another number of rows": ({ g, x }) =>
      g.pickTokens(x, {
        settings: g.input("s", "f32", 6, 6),
        count: 1,
        suppressed: g.input("list", "u32", 5, 3),
      }),
    "an activation of another graph": ({ g, x }) => {
      const other = bench();
      g.matmul(other.g.matmul(other.x, weight("w", 8, 8)), weight("w", 5, 8));
      g.output("y", g.matmul(x, weight("w", 5, 8)));
      return g.finish();
    },
    "an input of another graph": ({ g }) => {
      g.output("y", g.matmul(bench().x, weight("w", 5, 8)));
      return g.finish();
    },
  };

  it.each(Object.entries(mistakes))("refuses %s", (_, mistake) => {
    expect(() => mistake(bench())).toThrow(ShapeError);
    expect(() => mistake(bench())).toThrow(/^test/);
  });

  it("says which operation, what came and what was wanted", () => {
    const { g, x } = bench();
    g.matmul(x, weight("first", 5, 8));
    expect(() => g.matmul(x, weight("mlp1.1.weight", 5, 7))).toThrow(
      "test, operation 1: [6, 8] times mlp1.1.weight [5, 7]",
    );
  });
});

function rotate(
  g: Recorder,
  query: Tensor,
  { heads = 2, layer = 0, angleColumns = 4, slotRows = 6 } = {},
): Tensor {
  const key = g.input("key", "f32", 6, 8);
  const angles = g.input("angles", "f32", 6, angleColumns);
  const slots = g.input("slots", "u32", slotRows, 1);
  return g.rotary({ query, key, value: key, angles, slots }, { layer, heads, cache });
}

function attend(g: Recorder, query: Tensor, { heads = 2, layer = 0, starts = 3, pages = 2 } = {}): Tensor {
  const values = {
    query,
    starts: g.input("starts", "u32", starts, 1),
    lengths: g.input("lengths", "u32", 2, 1),
    pages: g.input("pages", "u32", pages, 4),
  };
  return g.pagedAttention(values, { layer, heads, cache });
}
