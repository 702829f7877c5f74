import type { DotGemvOptions } from "./dot-gemv.wgsl.ts";
import { int4Group, range, weightLayout } from "./product.ts";
import { lines } from "./wgsl.ts";

/** Columns that share a scale of the input. */
const group = int4Group;
/** Invocations that round such a group together, each two quads of columns side by side. */
const team = 4;

/**
 * `fn round_row(row, thread) -> f32`: a row of the input in 8 bits, in the order of the weights' bytes, with its scales;
 * for int4 also what is to be taken off. Gives the sum of the squares of what this invocation read.
 *
 * Neighbours read neighbours: with a group to each invocation, a read of one subgroup would touch a line of the cache for
 * every invocation, and take as long as the weights do.
 */
export function roundRowText({ columns, outputs, format, normalise, threads }: DotGemvOptions): string {
  const groups = weightLayout(outputs, columns, format).paddedColumns / group;
  const parts = groups * team;
  const rounds = Math.ceil(parts / threads);
  const whole = parts % threads === 0;
  const inside = columns === groups * group;
  const quad = (array: string, start: string, i: number) =>
    inside
      ? `${array}[${start}part * 2u + ${i}u]`
      : `select(vec4f(), ${array}[${start}min(part * 2u + ${i}u, ${columns / 4 - 1}u)], part * 8u + ${4 * i}u < ${columns}u)`;
  const summed = (value: string) =>
    [1, 2].map((other) => `${value} += subgroupShuffleXor(${value}, ${other}u);`).join(" ");
  // What the invocations of a team have, one after another, as its invocation `own` finds them.
  const gathered = (value: string, own: number) =>
    range(team)
      .map((i) => (i === own ? value : `subgroupShuffleXor(${value}, ${i ^ own}u)`))
      .join(", ");
  const packing =
    format === "int4"
      ? `// Bytes of even columns, whose nibbles are low, and of odd ones.
    let even = pack4xI8(vec4i(b0.xz, b1.xz));
    let odd = pack4xI8(vec4i(b0.yw, b1.yw));
    let low = vec4u(${gathered("even", 0)});
    let high = vec4u(${gathered("odd", 1)});
    if (there && own == 0u) { packed[at] = low; }
    if (there && own == 1u) { packed[at + ${groups}u] = high; }`
      : `let words = vec2u(pack4xI8(b0), pack4xI8(b1));
    let both = vec4u(words, subgroupShuffleXor(words.x, 1u), subgroupShuffleXor(words.y, 1u));
    if (there && own % 2u == 0u) { packed[at + own / 2u * ${groups}u] = both; }`;
  return `fn round_row(row: u32, thread: u32) -> f32 {
  let start = (sizes.inputFirst + min(row, sizes.rows - 1u) * sizes.inputStride) / 4u;
  let own = thread % ${team}u;
  var squares = 0.0;
  for (var turn = 0u; turn < ${rounds}u; turn++) {
    let asked = thread + turn * ${threads}u;
    let there = ${whole ? "true" : `asked < ${parts}u`};
    let part = ${whole ? "asked" : `min(asked, ${parts - team}u + own)`};
    let g = part / ${team}u;
    let at = row * ${2 * groups}u + g;
    ${lines(2, (i) => `${normalise ? "var" : "let"} x${i} = ${quad("input", "start + ", i)};`)}
    ${
      normalise
        ? `squares += select(0.0, dot(x0, x0) + dot(x1, x1), there);\n${lines(2, (i) => `x${i} *= ${quad("norm", "", i)};`)}`
        : ""
    }
    let most4 = max(abs(x0), abs(x1));
    var most = max(max(most4.x, most4.y), max(most4.z, most4.w));
    ${[1, 2].map((other) => `most = max(most, subgroupShuffleXor(most, ${other}u));`).join(" ")}
    let all4 = x0 + x1;
    var all = all4.x + all4.y + all4.z + all4.w;
    ${summed("all")}
    // What is no number must not be lost in rounding.
    let scale = select(all, most / 127.0, abs(all) < 3.4e38);
    let inverse = select(0.0, 127.0 / most, most > 1e-30 && abs(all) < 3.4e38);
    ${lines(2, (i) => `let b${i} = vec4i(round(x${i} * inverse));`)}
    ${packing}
    ${
      format === "int4"
        ? `let sum4 = b0 + b1;
    var sum = sum4.x + sum4.y + sum4.z + sum4.w;
    ${summed("sum")}`
        : ""
    }
    if (there && own == 0u) {
      factors[row * ${groups}u + g] = vec2f(scale, ${format === "int4" ? "-8.0 * scale * f32(sum)" : "0.0"});
    }
  }
  return squares;
}`;
}
