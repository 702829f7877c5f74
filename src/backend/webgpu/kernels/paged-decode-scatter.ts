import { type MergeOptions, mergedText } from "./paged-decode-merge.ts";
import type { Rows } from "./paged-decode-rows.ts";
import { range } from "./product.ts";
import { lines } from "./wgsl.ts";

/**
 * Running softmaxes of which each lane keeps that of one head. The lanes of a row make their sums by halves: at each step a
 * lane hands half of its sums to a partner, and adds to the rest what the partner hands on, until it has the whole
 * scores of one head and a row or few. `attendText` ends with every score in every lane, and every lane takes every
 * exponential. Here each is taken once and then handed round: for 4 heads and 4 rows of 16 lanes that is 38 shuffles, not 64.
 *
 * Lane l has head `l % places`, `places` being the heads of a workgroup rounded up to a power of two, and of the rows those
 * that the bits above say. `width` invocations share a maximum.
 */
type Lanes = Pick<MergeOptions, "lanes" | "width" | "together">;

const headBits = (together: number) => Math.ceil(Math.log2(together));

/** Whether the lanes of a row have all heads among them. */
export function canScatter({ lanes, together }: Omit<Lanes, "width">): boolean {
  return 1 << headBits(together) <= lanes;
}

/** Takes `count` rows, a power of two: `keyU_J` and `valueU_J`, of which `counts(row)` says whether it is one. */
export function scatterText(
  { pieces }: Rows,
  { lanes, width, together }: Lanes,
  count: number,
  counts: (row: string) => string,
): string {
  const text: string[] = [];
  const bits = headBits(together);
  const heads = range(together);
  const rowBits = Math.min(Math.log2(count), Math.log2(lanes) - bits);
  for (const h of heads) {
    for (const u of range(count)) {
      const products = range(pieces).map((j) => `dot(q_${h}_${j}, key${u}_${j})`);
      text.push(`let s${h}_${u} = ${products.join(" + ")};`);
    }
  }
  // Sums of all heads and rows, then of those that are left to this lane.
  let sums = range(1 << bits).map((h) => range(count).map((u) => (h < together ? `s${h}_${u}` : "0.0")));
  for (let step = 0; 1 << step < lanes; step++) {
    const half = (low: string, high: string, name: string) => {
      text.push(handOn(name, [low, high], `odd${step}`, 1 << step));
      return name;
    };
    text.push(`let odd${step} = (lane & ${1 << step}u) != 0u;`);
    if (step < bits) {
      sums = range(sums.length / 2).map((h) =>
        range(count).map((u) => half(sums[2 * h][u], sums[2 * h + 1][u], `t${step}_${h}_${u}`)),
      );
    } else if (step < bits + rowBits) {
      const [row] = sums;
      sums = [range(row.length / 2).map((u) => half(row[2 * u], row[2 * u + 1], `t${step}_0_${u}`))];
    } else {
      sums = [
        sums[0].map((sum, u) => {
          text.push(`let t${step}_0_${u} = ${sum} + subgroupShuffleXor(${sum}, ${1 << step}u);`);
          return `t${step}_0_${u}`;
        }),
      ];
    }
  }
  const [own] = sums;
  const rowMask = (1 << rowBits) - 1;
  // Lanes that have the same scores: the first of them counts.
  const same = lanes - (1 << (bits + rowBits));
  const added = own.map((_, q) => `p${q}`).join(" + ");
  text.push(
    `let ownRow = (lane >> ${bits}u) & ${rowMask}u;`,
    ...own.map(
      (sum, q) => `let score${q} = select(-1e30, ${sum}, ${counts(`(ownRow + ${q << rowBits}u)`)});`,
    ),
    `var top = ${own.reduce((most, _, q) => `max(${most}, score${q})`, "largest")};`,
    ...acrossRows(bits, width, (bit) => `top = max(top, subgroupShuffleXor(top, ${bit}u));`),
    `let shrink = exp2(largest - top);
largest = top;`,
    ...own.map((_, q) => `let p${q} = exp2(score${q} - top);`),
    `total = total * shrink + ${same > 0 ? `select(0.0, ${added}, (lane & ${same}u) == 0u)` : added};`,
  );
  for (const h of heads) {
    const weights = range(count).map(
      (u) => `subgroupShuffle(p${u >> rowBits}, firstLane + ${h + ((u & rowMask) << bits)}u)`,
    );
    const weighted = (j: number) =>
      range(count)
        .map((u) => `w${u} * value${u}_${j}`)
        .join(" + ");
    text.push(`{
  let kept = subgroupShuffle(shrink, firstLane + ${h}u);
  ${lines(count, (u) => `let w${u} = ${weights[u]};`)}
  ${lines(pieces, (j) => `o_${h}_${j} = o_${h}_${j} * kept + (${weighted(j)});`)}
}`);
  }
  return `{\n${text.join("\n")}\n}`;
}

/** Bytes of workgroup memory that merging takes. */
export function scatteredBytes({
  headSize,
  width,
  threads,
  together,
}: Omit<MergeOptions, "lanes" | "half" | "heads">): number {
  return (threads / width) * together * (headSize * 4 + 8);
}

/** What `scatterMerge` needs outside of functions. */
export function scatterDeclarations({ headSize, width, threads, together }: MergeOptions): string {
  const blocks = threads / width;
  return `var<workgroup> sums: array<vec4f, ${(blocks * together * headSize) / 4}>;
/** The maximum and total of each head and block of ${width} invocations. */
var<workgroup> states: array<vec2f, ${blocks * together}>;`;
}

/** Adds up what a workgroup has: `largest`, `total` and `o_H_J`; writes the output, or this split's part. */
export function scatterMerge(options: MergeOptions, rows: Rows): string {
  const { width, threads, together } = options;
  const { columns } = rows;
  const blocks = threads / width;
  return `${acrossRows(headBits(together), width, (bit) => `total += subgroupShuffleXor(total, ${bit}u);`).join("\n")}
let block = thread / ${width}u;
let inBlock = thread % ${width}u;
if (inBlock < ${together}u) { states[inBlock * ${blocks}u + block] = vec2f(largest, total); }
${blockSums(options, rows)}
workgroupBarrier();
for (var i = thread; i < ${together * columns}u; i += ${threads}u) {
  let h = i / ${columns}u;
  let c = i % ${columns}u;
  ${lines(
    blocks,
    (b) => `let state${b} = states[h * ${blocks}u + ${b}u];
  let sum${b} = sums[(h * ${blocks}u + ${b}u) * ${columns}u + c];`,
  )}
  let top = ${range(blocks)
    .map((b) => `state${b}.x`)
    .reduce((a, b) => `max(${a}, ${b})`)};
  var sum = vec4f(0.0);
  var whole = 0.0;
  ${lines(blocks, (b) => `{ let factor = exp2(state${b}.x - top); sum += sum${b} * factor; whole += state${b}.y * factor; }`)}
  ${mergedText(options, columns, { most: "top", whole: "whole" })}
}`;
}

/** Puts what a block has of each head into `sums`. Its groups share a maximum: they, too, share out the heads by halves. */
function blockSums(
  { lanes, width, threads, together }: MergeOptions,
  { pieces, columns, column }: Rows,
): string {
  const blocks = threads / width;
  const text: string[] = [];
  let names = range(together).map((h) => range(pieces).map((j) => `o_${h}_${j}`));
  let first = "0u";
  let stores = "true";
  for (let bit = lanes; bit < width; bit <<= 1) {
    const odd = `(inBlock & ${bit}u) != 0u`;
    const name = (h: number, j: number) => `m${bit}_${h}_${j}`;
    if (names.length % 2 === 0) {
      const count = names.length / 2;
      for (const h of range(count))
        for (const j of range(pieces))
          text.push(handOn(name(h, j), [names[h][j], names[h + count][j]], odd, bit));
      names = range(count).map((h) => range(pieces).map((j) => name(h, j)));
      first += ` + select(0u, ${count}u, ${odd})`;
    } else {
      names = names.map((row, h) =>
        row.map((sum, j) => {
          text.push(`let ${name(h, j)} = ${sum} + subgroupShuffleXor(${sum}, ${bit}u);`);
          return name(h, j);
        }),
      );
      stores += ` && (inBlock & ${bit}u) == 0u`;
    }
  }
  const place = (h: number, j: number) =>
    `((firstKept + ${h}u) * ${blocks}u + block) * ${columns}u + ${column(j)}`;
  return `${text.join("\n")}
let firstKept = ${first};
if (${stores}) {
  ${names.map((row, h) => row.map((sum, j) => `sums[${place(h, j)}] = ${sum};`).join("\n")).join("\n")}
}`;
}

/** `name`: of two sums the low one, of `odd` lanes the high one, with what the partner has of it. */
function handOn(name: string, [low, high]: readonly [string, string], odd: string, bit: number): string {
  return `let ${name} = select(${low}, ${high}, ${odd}) + subgroupShuffleXor(select(${high}, ${low}, ${odd}), ${bit}u);`;
}

/** A line for each bit of a lane's number that does not tell heads apart. */
function acrossRows(bits: number, width: number, line: (bit: number) => string): string[] {
  return range(Math.log2(width) - bits).map((i) => line(1 << (bits + i)));
}
