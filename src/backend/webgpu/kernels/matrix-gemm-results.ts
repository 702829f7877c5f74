import { plan, type TiledOptions } from "./matrix-gemm-plan.ts";
import { range } from "./product.ts";
import { lines } from "./wgsl.ts";

/** Bytes of workgroup memory that results may take on their way out, whatever the tiles take. */
const scratchBytes = 40960;

/** How results go through workgroup memory on their way out: a strip of each subgroup's tile in each round. */
export function scratchPlan(o: TiledOptions) {
  const { tile } = o;
  const { fragmentsDown, fragmentsAcross } = plan(o);
  const together = fragmentsAcross % 2 === 0 ? 2 : 1; // fragments side by side
  const stride = together * 4 + 1;
  const stripsAcross = fragmentsAcross / together;
  const rounds = fragmentsDown * stripsAcross;
  const roundWords = tile.down * tile.across * tile.along * 16 * stride;
  // One half is filled while the other is read, where there is room for two.
  const halves = 2 * roundWords * 16 <= scratchBytes ? 2 : 1;
  return {
    together,
    /** vec4u from row to row. */
    stride,
    stripsAcross,
    rounds,
    /** vec4u of a round, and of all that is needed at once. */
    roundWords,
    halves,
    words: Math.min(halves, rounds) * roundWords,
  };
}

/** `fn sum`: adds up what the subgroups `along` have made of an element of the scratch, or of four side by side. */
export function sumText(o: TiledOptions): string {
  const { tile } = o;
  const apart = tile.down * tile.across * 16 * scratchPlan(o).stride;
  if (o.wide) {
    return `fn sum(at: u32) -> vec4f {
  return ${range(tile.along)
    .map((k) => `bitcast<vec4f>(tiles[at + ${k * apart}u])`)
    .join(" + ")};
}`;
  }
  return `fn sum(element: u32) -> f32 {
  var total = 0.0;
  ${lines(tile.along, (k) => `{ let at = element + ${k * apart * 4}u; total += bitcast<f32>(tiles[at / 4u][at % 4u]); }`)}
  return total;
}`;
}

/** Everything from the sums of the fragments to the output. */
export function resultsText(o: TiledOptions): string {
  const { fragments: f, gated } = o;
  const { together, stride, stripsAcross, rounds, roundWords, halves } = scratchPlan(o);
  const columnOf = (strip: number, q: number) => (gated ? strip + q * stripsAcross : strip * together + q);
  const write = o.wide ? writeWideStrip : writeStrip;
  return lines(rounds, (round) => {
    const i = Math.floor(round / stripsAcross);
    const strip = round % stripsAcross;
    const base = (round % halves) * roundWords;
    const store = (q: number) => {
      const at = `${base}u + subgroup * ${16 * stride}u + ${q * 4}u`;
      return f.store("tiles", at, stride, `c${i}_${columnOf(strip, q)}`);
    };
    return `${halves === 1 && round > 0 ? "workgroupBarrier();" : ""}
  ${lines(together, store)}
  {
  ${write(o, { i, strip, together, stride, base })}
  }`;
  });
}

/** A strip of results in the scratch: `together` fragments side by side of each subgroup, of its fragment row `i`. */
interface Strip {
  readonly i: number;
  readonly strip: number;
  readonly together: number;
  /** vec4u from row to row, and to where the strip begins. */
  readonly stride: number;
  readonly base: number;
}

/** Adds up the scratch's strip, finishes it and writes what lies inside the output. */
function writeStrip(o: TiledOptions, { i, strip, together, stride, base }: Strip): string {
  const { tile, gated = false } = o;
  const { threads, tileColumns } = plan(o);
  const wide = gated ? 16 : together * 16;
  const elements = tile.down * tile.across * 16 * wide;
  const scaled = (value: string, scales: string) => (o.format === "int8" ? `${value} * ${scales}[m]` : value);
  const at = `(part * 16u + row) * ${stride * 4}u + ${base * 4}u + column`;
  const value = gated
    ? `silu(${scaled(`sum(${at})`, "gateScales")}) * ${scaled(`sum(${at} + 16u)`, "upScales")}`
    : `finish(n, m, ${scaled(`sum(${at})`, "scales")}, residualAt(n, m))`;
  return `workgroupBarrier();
  for (var e = thread; e < ${elements}u; e += ${threads}u) {
    let part = e / ${16 * wide}u;
    let row = e / ${wide}u % 16u;
    let column = e % ${wide}u;
    let n = firstRow + part % ${tile.down}u * 16u + ${i * tile.down * 16}u + row;
    let m = firstColumn + part / ${tile.down}u * ${tileColumns / tile.across}u + ${strip * wide}u + column;
    if (n < sizes.rows && m < ${o.outputs}u) {
      output[sizes.outputFirst + n * sizes.outputStride + sizes.firstRow + m] = ${value};
    }
  }`;
}

/**
 * The same, four columns at a time. What it reads of the residual is on its way before the barrier: one such wait after
 * another would take as long as a third of the product.
 */
function writeWideStrip(o: TiledOptions, { i, strip, together, stride, base }: Strip): string {
  const { tile, gated = false } = o;
  const { threads, tileColumns } = plan(o);
  const wide = gated ? 16 : together * 16;
  const quads = tile.down * tile.across * 4 * wide;
  const mine = range(Math.ceil(quads / threads));
  const scaled = (value: string, scales: string) =>
    o.format === "int8" ? `${value} * ${scales}[m / 4u]` : value;
  const place = (
    q: number,
  ) => `let e = ${quads < threads ? `min(thread, ${quads - 1}u)` : `thread + ${q * threads}u`};
    let part = e / ${4 * wide}u;
    let row = e / ${wide / 4}u % 16u;
    let column = e % ${wide / 4}u;
    let n = firstRow + part % ${tile.down}u * 16u + ${i * tile.down * 16}u + row;
    let m = firstColumn + part / ${tile.down}u * ${tileColumns / tile.across}u + ${strip * wide}u + column * 4u;`;
  const at = `(part * 16u + row) * ${stride}u + ${base}u + column`;
  const value = (q: number) =>
    gated
      ? `silu(${scaled(`sum(${at})`, "gateScales")}) * ${scaled(`sum(${at} + 4u)`, "upScales")}`
      : `finish(n, m, ${scaled(`sum(${at})`, "scales")}, before${q})`;
  const inside = `n < sizes.rows && m < ${o.outputs}u${quads < threads ? ` && thread < ${quads}u` : ""}`;
  const to = "(sizes.outputFirst + n * sizes.outputStride + sizes.firstRow + m) / 4u";
  const write =
    o.result === "f16"
      ? `if (any(abs(value) > vec4f(65504.0))) { atomicStore(&status, 1u); }
      output[${to}] = vec2u(pack2x16float(value.xy), pack2x16float(value.zw));`
      : `output[${to}] = value;`;
  const reads = !gated && o.epilogue?.residual;
  const before = (q: number) => {
    if (gated) return "";
    if (!reads) return `let before${q} = vec4f();`;
    return `var before${q}: vec4f;
  { ${place(q)}
    before${q} = residualAt(min(n, sizes.rows - 1u), min(m, ${o.outputs - 4}u)); }`;
  };
  return `${mine.map(before).join("\n  ")}
  workgroupBarrier();
  ${mine
    .map(
      (q) => `{ ${place(q)}
    if (${inside}) {
      let value = ${value(q)};
      ${write}
    }
  }`,
    )
    .join("\n  ")}`;
}
