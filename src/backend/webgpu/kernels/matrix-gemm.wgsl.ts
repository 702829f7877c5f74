import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import type { Fragments } from "./fragments.ts";
import { matrixUnits } from "./fragments.ts";
import {
  declare,
  epilogueKey,
  finishText,
  int4Group,
  type ProductOptions,
  productBindings,
  productSizesText,
  range,
  type WeightFormat,
  weightLayout,
} from "./product.ts";

/**
 * Products on the matrix units, f16 operands, f32 sums: `Matmul`, `GatedMatmul`, for any number of rows. A workgroup
 * makes a tile of `rows` x `outputs` of the output; its subgroups stand `down` x `across` over the tile, `along` more of
 * them share out the columns of each step and are added at the end. Each step brings `depth` columns of both operands
 * into workgroup memory, as f16, while the next `ahead` steps are on their way in registers.
 *
 * Bindings: see `productBindings`, with `status` where the input is f32 or the output f16: set to 1 when a value of them
 * is too large for f16, the output is then not to be used. Input rows must lie at multiples of 4 elements (8 where they
 * are f16), and K must be such a multiple. bf16 weights must fit f16. Needs subgroups of 32.
 */
export interface MatrixGemmOptions extends ProductOptions {
  /** How the input lies in memory; f16: two a u32, the first low. */
  readonly input: "f32" | "f16";
  /** How the output lies in memory. f16 only with `wide`. */
  readonly result?: "f32" | "f16";
  /**
   * Whether results are finished and written four columns at a time: outputs, strides and firsts of output and residual,
   * and `firstRow`, must be multiples of 4.
   */
  readonly wide?: boolean;
  readonly tile?: Tile;
  readonly fragments?: Fragments;
}

export interface Tile {
  /** Rows of the output, a multiple of 16 · down. */
  readonly rows: number;
  /** Rows of the weight, a multiple of 16 · across (32 · across if gated: half are gate's, half up's). */
  readonly outputs: number;
  /** Columns a step, a multiple of 16 · along. */
  readonly depth: number;
  readonly down: number;
  readonly across: number;
  readonly along: number;
  /** Steps on their way in registers. */
  readonly ahead: number;
}

type Complete = MatrixGemmOptions & { readonly tile: Tile; readonly fragments: Fragments };

/** Row blocks that share their columns' weights before the next columns' turn comes: what the L2 cache holds. */
const blockGroup = 16;
const lines = (count: number, text: (i: number) => string) => range(count).map(text).join("\n");

export const wideTile: Tile = {
  rows: 128,
  outputs: 128,
  depth: 32,
  down: 2,
  across: 2,
  along: 1,
  ahead: 1,
};

/** Workgroups for an input of so many rows. */
export function matrixGemmWorkgroups(options: MatrixGemmOptions, inputRows: number): Workgroups {
  const { tile = wideTile, outputs, gated } = options;
  const across = Math.ceil(outputs / (gated ? tile.outputs / 2 : tile.outputs));
  return foldWorkgroups(Math.ceil(inputRows / tile.rows) * across);
}

export function matrixGemm(options: MatrixGemmOptions): Kernel {
  const o = { tile: wideTile, fragments: matrixUnits, ...options };
  const { tile, fragments } = o;
  const words = { f32: "vec4u", f16: "vec4u", bf16: "vec4u", int8: "vec2u", int4: "u32" }[o.format];
  const halves = o.result === "f16";
  if (halves && !o.wide) throw new TypeError("a product in f16 is written four columns at a time");
  const bindings = productBindings(o, {
    input: o.input === "f32" ? "array<vec4f>" : "array<vec4u>",
    weight: `array<${words}>`,
    output: halves ? "array<vec2u>" : o.wide ? "array<vec4f>" : "array<f32>",
    element: o.wide ? "vec4f" : "f32",
    status: o.input === "f32" || halves,
  });
  const { rows, outputs, depth, down, across, along, ahead } = tile;
  return {
    key: [
      `matrixGemm ${o.columns}x${o.outputs} ${o.format} ${epilogueKey(o)} from ${o.input} to ${o.result ?? "f32"}${o.wide ? " wide" : ""} ${fragments.name}`,
      `${rows}x${outputs}x${depth} ${down}x${across}x${along} a${ahead}`,
    ].join(" "),
    code: `enable f16;
${fragments.enables}
${productSizesText}
${declare(bindings)}
${finishText(o, o)}
${body(o)}`,
    bindings: bindings.map(([, kind]) => kind),
    features: [...new Set<GPUFeatureName>(["shader-f16", ...fragments.features])],
    subgroupSize: 32,
  };
}

/** Numbers of the kernel that follow from its options. */
function plan(o: Complete) {
  const { tile } = o;
  const threads = tile.down * tile.across * tile.along * 32;
  const perRow = tile.depth / 8; // vec4u of eight f16 in a row of a step
  const { paddedColumns } = weightLayout(o.outputs, o.columns, o.format);
  return {
    threads,
    perRow,
    stride: perRow + 1, // an odd number of 16 bytes keeps the rows of a fragment in different banks
    fragmentsDown: tile.rows / tile.down / 16,
    fragmentsAcross: tile.outputs / tile.across / 16,
    leftItems: (tile.rows * perRow) / threads,
    rightItems: (tile.outputs * perRow) / threads,
    paddedColumns,
    steps: Math.ceil(paddedColumns / tile.depth),
    tileColumns: o.gated ? tile.outputs / 2 : tile.outputs,
  };
}

function body(o: Complete): string {
  const { tile, fragments: f, gated = false } = o;
  const p = plan(o);
  const { threads, stride, fragmentsDown, fragmentsAcross, steps } = p;
  const together = fragmentsAcross % 2 === 0 ? 2 : 1; // fragments side by side in the scratch of the epilogue
  const spread = along(tile);
  const subgroups = tile.down * tile.across;
  const scratchStride = together * 4 + 1;
  const results = range(fragmentsDown).flatMap((i) => range(fragmentsAcross).map((j) => `c${i}_${j}`));
  const leftWords = tile.rows * stride;
  const tileWords = leftWords + tile.outputs * stride;
  // The last steps fetch the last one again: a branch would keep the compiler from moving loads between products.
  const fetchAhead = (set: number, ahead: number) =>
    `{ let next = min(step + ${ahead}u, ${steps - 1}u);
      ${fetch(o, set, "next")}
    }`;
  const multiply = lines(
    tile.depth / 16 / tile.along,
    (k) => `{
      ${lines(fragmentsDown, (i) => f.left(`a${i}`, "tiles", `leftFragment + ${i * 16 * stride + k * 2}u`, stride))}
      ${lines(fragmentsAcross, (j) => f.right(`b${j}`, "tiles", `rightFragment + ${leftWords + j * 16 * stride + k * 2}u`, stride, "column"))}
      ${lines(fragmentsDown, (i) => lines(fragmentsAcross, (j) => f.multiply(`c${i}_${j}`, `a${i}`, `b${j}`)))}
    }`,
  );
  // One tile in workgroup memory: filled, a barrier, multiplied, a barrier.
  const step = (s: number) => {
    const work = `${stageLeft(o, s, "0u")}
    ${stageRight(o, s, `${leftWords}u`)}
    workgroupBarrier();
    ${fetchAhead(s, s + tile.ahead)}
    ${multiply}
    workgroupBarrier();`;
    return s === 0 || steps % tile.ahead === 0 ? work : `if (step + ${s}u < ${steps}u) {${work}}`;
  };
  const scratchWords = subgroups * tile.along * 16 * scratchStride;
  // One half is filled while the other is read, where there is room for two.
  const halves = 2 * scratchWords * 16 <= scratchBytes ? 2 : 1;
  const firstAcross = fragmentsAcross / together; // strips of the scratch across a subgroup's tile
  const rounds = fragmentsDown * firstAcross;
  const stripColumn = (strip: number, q: number) => (gated ? strip + q * firstAcross : strip * together + q);
  return `
// Left tiles, then right ones; when all steps are done, the results as the bits of their f32.
var<workgroup> tiles: array<vec4u, ${Math.max(tileWords, Math.min(halves, rounds) * scratchWords)}>;
${f.declarations(["tiles"])}
${rightRowText(o)}
${o.input === "f32" ? "fn most(values: vec4f) -> f32 { return max(max(values.x, values.y), max(values.z, values.w)); }" : ""}
${o.wide ? wideSumText(tile, 16 * scratchStride) : sumText(tile, 16 * scratchStride)}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32${f.parameters ? `, ${f.parameters}` : ""}) {
  let place = sizes;
  ${f.prologue}
  let rowBlocks = (sizes.rows + ${tile.rows - 1}u) / ${tile.rows}u;
  const columnBlocks = ${Math.ceil(o.outputs / p.tileColumns)}u;
  let block = group.x + group.y * groups.x;
  if (block >= rowBlocks * columnBlocks) { return; }
  let firstBlock = block / (${blockGroup}u * columnBlocks) * ${blockGroup}u;
  let blocksDown = min(${blockGroup}u, rowBlocks - firstBlock);
  let within = block - firstBlock * columnBlocks;
  let firstRow = (firstBlock + within % blocksDown) * ${tile.rows}u;
  let firstColumn = within / blocksDown * ${p.tileColumns}u;
  let leftFragment = subgroup % ${tile.down}u * ${(tile.rows / tile.down) * stride}u${spread};
  let rightFragment = subgroup / ${tile.down}u % ${tile.across}u * ${(tile.outputs / tile.across) * stride}u${spread};
  ${o.input === "f32" ? "var largest = vec4f();" : ""}
  ${lines(tile.ahead, (set) => declareSets(o, set))}
  ${addresses(o)}
  ${lines(results.length, (i) => f.result(results[i]))}
  {
    let step = 0u;
    ${lines(tile.ahead, (set) => fetchAhead(set, set))}
  }
  for (var step = 0u; step < ${steps}u; step += ${tile.ahead}u) {
    ${lines(tile.ahead, step)}
  }
  ${o.input === "f32" ? "if (most(largest) > 65504.0) { atomicStore(&status, 1u); }" : ""}
  ${lines(rounds, (round) => {
    const i = Math.floor(round / firstAcross);
    const strip = round % firstAcross;
    const base = (round % halves) * scratchWords;
    const store = (q: number) =>
      f.store(
        "tiles",
        `${base}u + subgroup * ${16 * scratchStride}u + ${q * 4}u`,
        scratchStride,
        `c${i}_${stripColumn(strip, q)}`,
      );
    const write = o.wide ? writeWideStrip : writeStrip;
    return `${halves === 1 && round > 0 ? "workgroupBarrier();" : ""}
  ${lines(together, store)}
  {
  ${write(o, { i, strip, together, stride: scratchStride, base })}
  }`;
  })}
}`;
}

/** Bytes of workgroup memory that results may take on their way out, whatever the tiles take. */
const scratchBytes = 40960;

/** Adds up what the subgroups `along` have made of an element of the scratch, `words` vec4u a fragment row. */
function sumText(tile: Tile, words: number): string {
  return `fn sum(element: u32) -> f32 {
  var total = 0.0;
  ${lines(tile.along, (k) => `{ let at = element + ${k * tile.down * tile.across * words * 4}u; total += bitcast<f32>(tiles[at / 4u][at % 4u]); }`)}
  return total;
}`;
}

function wideSumText(tile: Tile, words: number): string {
  return `fn sum(at: u32) -> vec4f {
  return ${range(tile.along)
    .map((k) => `bitcast<vec4f>(tiles[at + ${k * tile.down * tile.across * words}u])`)
    .join(" + ")};
}`;
}

/** Where a subgroup's share of a step's columns begins. */
function along(tile: Tile): string {
  if (tile.along === 1) return "";
  return ` + subgroup / ${tile.down * tile.across}u * ${tile.depth / 8 / tile.along}u`;
}

/** Row of the weight that a row of the tile's right operand holds. If gated, each subgroup has gate's columns, then up's. */
function rightRowText(o: Complete): string {
  if (!o.gated) return "";
  const mine = o.tile.outputs / o.tile.across;
  return `fn isUp(row: u32) -> bool { return row % ${mine}u >= ${mine / 2}u; }
fn rightRow(row: u32) -> u32 { return row / ${mine}u * ${mine / 2}u + row % ${mine / 2}u; }`;
}

function declareSets(o: Complete, set: number): string {
  const { leftItems, rightItems } = plan(o);
  const kind = { f32: "vec4f", f16: "vec4u", bf16: "vec4u", int8: "vec2u", int4: "u32" }[o.format];
  return [
    ...range(Math.ceil(leftItems)).map((i) =>
      o.input === "f32" ? `var l${set}_${i}a: vec4f; var l${set}_${i}b: vec4f;` : `var l${set}_${i}: vec4u;`,
    ),
    ...range(Math.ceil(rightItems)).map(
      (i) =>
        `var r${set}_${i}: ${kind};${o.format === "f32" ? ` var r${set}_${i}b: vec4f;` : ""}${o.format === "int4" ? ` var s${set}_${i}: u32;` : ""}`,
    ),
  ].join("\n");
}

/** A thread's items: row and column of eight values in each operand's tile, and where their rows begin in memory. */
function addresses(o: Complete): string {
  const { threads, perRow, leftItems, rightItems, paddedColumns } = plan(o);
  const guard = (items: number, i: number, most: number) =>
    items % 1 === 0 ? `(thread + ${i * threads}u)` : `min(thread + ${i * threads}u, ${most - 1}u)`;
  const unit = o.input === "f32" ? 4 : 8;
  const words = paddedColumns / 8; // items in a row of the weight
  return [
    ...range(Math.ceil(leftItems)).map((i) => {
      const item = guard(leftItems, i, o.tile.rows * perRow);
      return `let leftRow${i} = ${item} / ${perRow}u;
  let leftColumn${i} = ${item} % ${perRow}u;
  let leftFrom${i} = (sizes.inputFirst + min(firstRow + leftRow${i}, sizes.rows - 1u) * sizes.inputStride) / ${unit}u;`;
    }),
    ...range(Math.ceil(rightItems)).map((i) => {
      const item = guard(rightItems, i, o.tile.outputs * perRow);
      const row = o.gated ? `rightRow(tileRow${i})` : `tileRow${i}`;
      return `let tileRow${i} = ${item} / ${perRow}u;
  let rightColumn${i} = ${item} % ${perRow}u;
  let rightFrom${i} = min(firstColumn + ${row}, ${o.outputs - 1}u) * ${words}u;`;
    }),
  ].join("\n  ");
}

/** Starts the loads of a step into a set of registers. Columns from K on are zeros on the left, and read nothing. */
function fetch(o: Complete, set: number, step: string): string {
  const { perRow, leftItems, rightItems, paddedColumns, steps } = plan(o);
  const exact = o.columns === steps * o.tile.depth;
  const left = range(Math.ceil(leftItems)).map((i) => {
    const item = `let column = ${step} * ${perRow}u + leftColumn${i};`;
    if (o.input === "f16") {
      const last = o.columns / 8;
      return exact
        ? `{ ${item} l${set}_${i} = input[leftFrom${i} + column]; }`
        : `{ ${item} l${set}_${i} = select(vec4u(), input[leftFrom${i} + min(column, ${last - 1}u)], column < ${last}u); }`;
    }
    const last = o.columns / 4;
    return exact
      ? `{ ${item} l${set}_${i}a = input[leftFrom${i} + column * 2u]; l${set}_${i}b = input[leftFrom${i} + column * 2u + 1u]; }`
      : `{ ${item} l${set}_${i}a = select(vec4f(), input[leftFrom${i} + min(column * 2u, ${last - 1}u)], column * 2u < ${last}u);
      l${set}_${i}b = select(vec4f(), input[leftFrom${i} + min(column * 2u + 1u, ${last - 1}u)], column * 2u + 1u < ${last}u); }`;
  });
  const inside = paddedColumns === steps * o.tile.depth;
  const right = range(Math.ceil(rightItems)).map((i) => {
    const column = `${step} * ${perRow}u + rightColumn${i}`;
    const at = `let at = rightFrom${i} + ${inside ? column : `min(${column}, ${paddedColumns / 8 - 1}u)`};`;
    const from = (name: string, scales: string) =>
      [
        o.format === "f32"
          ? `r${set}_${i} = bitcast<vec4f>(${name}[at * 2u]); r${set}_${i}b = bitcast<vec4f>(${name}[at * 2u + 1u]);`
          : `r${set}_${i} = ${name}[at];`,
        o.format === "int4"
          ? `s${set}_${i} = ${scales}[at / ${int4Group / 8}u / 2u] >> (at / ${int4Group / 8}u % 2u * 16u);`
          : "",
      ].join(" ");
    return o.gated
      ? `{ ${at} if (isUp(tileRow${i})) { ${from("up", "upScales")} } else { ${from("gate", "gateScales")} } }`
      : `{ ${at} ${from("weight", "scales")} }`;
  });
  return [...left, ...right].join("\n      ");
}

/**
 * The order of eight columns in the tiles: any order gives the same product if both operands have it. That of integers
 * is the one in which two of them become f16 at once.
 */
function columnPairs(format: WeightFormat): readonly (readonly [number, number])[] {
  if (format === "int4") return range(4).map((i) => [i, i + 4]);
  if (format === "int8") return [0, 4].flatMap((i) => [[i, i + 2] as const, [i + 1, i + 3] as const]);
  return range(4).map((i) => [2 * i, 2 * i + 1]);
}

function guarded(o: Complete, items: number, i: number, tileItems: number, statement: string): string {
  const { threads } = plan(o);
  return items % 1 === 0 || (i + 1) * threads <= tileItems
    ? statement
    : `if (thread < ${tileItems - i * threads}u) { ${statement} }`;
}

/** Writes a set's left items to workgroup memory as f16, and keeps the largest magnitude seen. */
function stageLeft(o: Complete, set: number, base: string): string {
  const { leftItems, perRow, stride } = plan(o);
  const pairs = columnPairs(o.format);
  return lines(Math.ceil(leftItems), (i) => {
    const name = `l${set}_${i}`;
    const float = (c: number) => `${name}${c < 4 ? "a" : "b"}.${"xyzw"[c % 4]}`;
    const half = (c: number, high: boolean) => {
      const word = `${name}.${"xyzw"[c >> 1]}`;
      if (high) return c % 2 === 1 ? `(${word} & 0xffff0000u)` : `(${word} << 16u)`;
      return c % 2 === 1 ? `(${word} >> 16u)` : `(${word} & 0xffffu)`;
    };
    const value =
      o.input === "f32"
        ? `vec4u(${pairs.map(([a, b]) => `pack2x16float(vec2f(${float(a)}, ${float(b)}))`).join(", ")})`
        : pairs[0][1] === 1
          ? name
          : `vec4u(${pairs.map(([a, b]) => `${half(a, false)} | ${half(b, true)}`).join(", ")})`;
    const see = o.input === "f32" ? `largest = max(largest, max(abs(${name}a), abs(${name}b)));` : "";
    return `${guarded(o, leftItems, i, o.tile.rows * perRow, `tiles[${base} + leftRow${i} * ${stride}u + leftColumn${i}] = ${value};`)} ${see}`;
  });
}

/** Writes a set's right items to workgroup memory as f16. */
function stageRight(o: Complete, set: number, base: string): string {
  const { rightItems, perRow, stride } = plan(o);
  return lines(Math.ceil(rightItems), (i) => {
    const statement = `{ ${rightValue(o.format, `r${set}_${i}`, `s${set}_${i}`)}
      tiles[${base} + tileRow${i} * ${stride}u + rightColumn${i}] = value; }`;
    return guarded(o, rightItems, i, o.tile.outputs * perRow, statement);
  });
}

/** `let value: vec4u`, eight f16 in the order of `columnPairs`. 0x6400 + n are the bits of the f16 number 1024 + n. */
function rightValue(format: WeightFormat, name: string, scale: string): string {
  switch (format) {
    case "f16":
      return `let value = ${name};`;
    case "f32":
      return `let value = vec4u(pack2x16float(${name}.xy), pack2x16float(${name}.zw), pack2x16float(${name}b.xy), pack2x16float(${name}b.zw));`;
    case "bf16":
      return `let low = bitcast<vec4f>(${name} << vec4u(16u));
      let high = bitcast<vec4f>(${name} & vec4u(0xffff0000u));
      let value = vec4u(${range(4)
        .map((i) => `pack2x16float(vec2f(low.${"xyzw"[i]}, high.${"xyzw"[i]}))`)
        .join(", ")});`;
    case "int8":
      return `let flipped = ${name} ^ vec2u(0x80808080u);
      let even = (flipped & vec2u(0x00ff00ffu)) | vec2u(0x64006400u);
      let odd = ((flipped >> vec2u(8u)) & vec2u(0x00ff00ffu)) | vec2u(0x64006400u);
      let value = vec4u(${["even.x", "odd.x", "even.y", "odd.y"]
        .map((word) => `bitcast<u32>(bitcast<vec2<f16>>(${word}) - vec2<f16>(1152.0h))`)
        .join(", ")});`;
    case "int4":
      return `let times = vec2<f16>(f16(bitcast<f32>(${scale} << 16u)));
      let shifted = ${name} >> 8u;
      let value = vec4u(${[
        [name, false],
        [name, true],
        ["shifted", false],
        ["shifted", true],
      ]
        .map(([word, high]) =>
          high
            ? `bitcast<u32>(fma(bitcast<vec2<f16>>((${word} & 0x00f000f0u) | 0x64006400u), vec2<f16>(0.0625h), vec2<f16>(-72.0h)) * times)`
            : `bitcast<u32>((bitcast<vec2<f16>>((${word} & 0x000f000fu) | 0x64006400u) - vec2<f16>(1032.0h)) * times)`,
        )
        .join(", ")});`;
  }
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
function writeStrip(o: Complete, { i, strip, together, stride, base }: Strip): string {
  const { tile, gated = false } = o;
  const { threads, fragmentsDown, tileColumns } = plan(o);
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
    let n = firstRow + part % ${tile.down}u * ${fragmentsDown * 16}u + ${i * 16}u + row;
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
function writeWideStrip(o: Complete, { i, strip, together, stride, base }: Strip): string {
  const { tile, gated = false } = o;
  const { threads, fragmentsDown, tileColumns } = plan(o);
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
    let n = firstRow + part % ${tile.down}u * ${fragmentsDown * 16}u + ${i * 16}u + row;
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
