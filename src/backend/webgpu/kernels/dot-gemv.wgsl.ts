import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { roundRowText } from "./dot-gemv-input.ts";
import {
  declare,
  epilogueKey,
  finishText,
  int4Group,
  type ProductOptions,
  productBindings,
  productSizesText,
  range,
  weightLayout,
} from "./product.ts";
import { lines } from "./wgsl.ts";

/**
 * Products of a few rows with integer weights, all of it in integers: the input is rounded to 8 bits, 32 columns of a
 * row sharing a scale (as llama.cpp's Q8_1), and four products at a time are summed by `dot4I8Packed`. What a thread
 * reads it need not take apart, so the memory's speed is the limit where `gemv` is bound by instructions.
 *
 * Each workgroup rounds the input for itself, into workgroup memory. Then `lanes` invocations make `together` outputs
 * at a time, standing side by side along K.
 *
 * Bindings: see `productBindings`. Input rows begin at multiples of 4 elements; K is a multiple of 4. The uniform's
 * rows: 1 to `rows`. With `normalise` the input is `RmsNorm`ed on the way: its weight f32 `[K, 1]` is bound after
 * weight and scales. `lanes`: a power of two that no subgroup of the device is smaller than, 4 at least, as many as which
 * divide `threads`.
 */
export interface DotGemvOptions extends ProductOptions {
  readonly format: "int8" | "int4";
  /** Most rows of the input. */
  readonly rows: number;
  readonly normalise?: { readonly epsilon: number };
  readonly lanes: number;
  readonly threads: number;
  /** Outputs that a group of lanes makes; with `gated` as many gates and as many ups. */
  readonly together: number;
  /** Steps along K whose weights are read at once. */
  readonly unroll: number;
}

/** Columns that share a scale of the input, and whose weights an invocation reads at once. */
const group = int4Group;
/** u32 of the input in 8 bits: of such a group. */
const groupWords = group / 4;

/** Outputs of a workgroup. */
function outputsAtOnce({ threads, lanes, together }: DotGemvOptions): number {
  return (threads / lanes) * together;
}

export function dotGemvWorkgroups(options: DotGemvOptions): Workgroups {
  return foldWorkgroups(Math.ceil(options.outputs / outputsAtOnce(options)));
}

/** Bytes of workgroup memory that the kernel needs. */
export function dotGemvBytes({ rows, columns, outputs, format, threads, lanes }: DotGemvOptions): number {
  const groups = weightLayout(outputs, columns, format).paddedColumns / group;
  return rows * (groups * (groupWords * 4 + 8) + (threads / lanes) * 4);
}

export function dotGemv(options: DotGemvOptions): Kernel {
  const o = options;
  const bindings = productBindings(o, {
    input: "array<vec4f>",
    weight: "array<vec4u>",
    norm: o.normalise && "array<vec4f>",
  });
  return {
    key: [
      `dot-gemv ${o.columns}x${o.outputs} ${o.format} ${epilogueKey(o)} rows${o.rows}`,
      `l${o.lanes} t${o.threads} o${o.together} u${o.unroll}`,
      o.normalise ? `norm${o.normalise.epsilon}` : "",
    ].join(" "),
    code: `enable subgroups;
requires packed_4x8_integer_dot_product;
${productSizesText}
${declare(bindings)}
${finishText(o)}
${body(o)}`,
    bindings: bindings.map(([, kind]) => kind),
    features: ["subgroups"],
  };
}

function body(o: DotGemvOptions): string {
  const { columns, outputs, rows, lanes, threads, together, unroll, gated, format } = o;
  const { paddedColumns } = weightLayout(outputs, columns, format);
  const groups = paddedColumns / group;
  const teams = threads / lanes;
  const weights = gated ? ["gate", "up"] : ["weight"];
  const scales = gated ? ["gateScales", "upScales"] : ["scales"];
  const step = lanes * unroll;
  const whole = groups % step === 0;
  /** vec4u of weights in a group. */
  const words = format === "int4" ? 1 : 2;
  const each = (line: (w: number, r: number) => string) =>
    weights.map((_, w) => lines(together, (r) => line(w, r))).join("\n");
  const sum = (w: number, r: number, n: number) => `sum${w}_${r}_${n}`;
  // Weights of step u of a round that begins at `first`, of each row, and where they are int4 their scales.
  const load = (first: string, keep: "var" | "" | "let") =>
    lines(unroll, (u) => {
      const at = `${first} + ${u * lanes}u + lane`;
      return `${keep === "" ? "" : `${keep} `}at${u} = ${whole ? at : `min(${at}, ${groups - 1}u)`};
${each((w, r) =>
  [
    ...range(words).map(
      (i) =>
        `${keep} w${u}_${w}_${r}_${i} = ${weights[w]}[(row${r} * ${groups}u + at${u}) * ${words}u + ${i}u];`,
    ),
    format === "int4" ? `${keep} s${u}_${w}_${r} = ${scales[w]}[(row${r} * ${groups}u + at${u}) / 2u];` : "",
  ].join("\n"),
)}`;
    });
  const multiply = (u: number) => `{
${lines(
  rows,
  (n) => `let low${n} = packed[${2 * n * groups}u + have${u}];
let high${n} = packed[${(2 * n + 1) * groups}u + have${u}];
let factor${n} = ${whole ? "" : "select(vec2f(), "}factors[${n * groups}u + have${u}]${whole ? "" : `, first + ${u * lanes}u + lane < ${groups}u)`};`,
)}
${each((w, r) => `{ ${format === "int4" ? int4Text(o, u, w, r, sum) : int8Text(o, u, w, r, sum)} }`)}
}`;
  const results = range(together).flatMap((r) => range(rows).map((n) => ({ r, n })));
  const sumsOf = (w: number) =>
    results
      .map(({ r, n }, i) =>
        i === 0
          ? `var value${w} = ${sum(w, r, n)};`
          : `value${w} = select(value${w}, ${sum(w, r, n)}, lane == ${i}u);`,
      )
      .join("\n  ");
  const add = (name: string) =>
    range(Math.log2(lanes))
      .map((bit) => `${name} += subgroupShuffleXor(${name}, ${1 << bit}u);`)
      .join(" ");
  return `
var<workgroup> packed: array<vec4u, ${2 * rows * groups}>;
var<workgroup> factors: array<vec2f, ${rows * groups}>;
${o.normalise ? `var<workgroup> squares: array<f32, ${rows * teams}>;` : ""}

${roundRowText(o)}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${lanes}u;
  let team = thread / ${lanes}u;
  let first_output = ((workgroup.x + workgroup.y * workgroups.x) * ${teams}u + team) * ${together}u;
  ${lines(together, (r) => `let row${r} = min(first_output + ${r}u, ${outputs - 1}u);`)}
  // On their way while the input is rounded.
  ${load("0u", "var")}
  let n = lane % ${rows}u;
  let m = min(first_output + lane / ${rows}u, ${outputs - 1}u);
  ${gated ? "" : "let before = residualAt(min(n, sizes.rows - 1u), m);"}
  ${lines(rows, (i) => `${o.normalise ? `var squares${i} = ` : ""}round_row(${i}u, thread);${o.normalise ? ` ${add(`squares${i}`)} if (lane == 0u) { squares[${i * teams}u + team] = squares${i}; }` : ""}`)}
  workgroupBarrier();
  ${each((w, r) => lines(rows, (i) => `var ${sum(w, r, i)} = 0.0;`))}
  for (var first = 0u; first < ${groups}u; first += ${step}u) {
    ${lines(unroll, (u) => `let have${u} = at${u};\n${each((w, r) => `${lines(words, (i) => `let v${u}_${w}_${r}_${i} = w${u}_${w}_${r}_${i};`)} ${format === "int4" ? `let t${u}_${w}_${r} = s${u}_${w}_${r};` : ""}`)}`)}
    if (first + ${step}u < ${groups}u) {
      ${load(`first + ${step}u`, "")}
    }
    ${lines(unroll, multiply)}
  }
  ${each((w, r) => lines(rows, (i) => add(sum(w, r, i))))}
  ${weights.map((_, w) => sumsOf(w)).join("\n  ")}
  if (lane >= ${together * rows}u || first_output + lane / ${rows}u >= ${outputs}u || n >= sizes.rows) { return; }
  ${
    o.normalise
      ? `var total = 0.0;
  for (var t = 0u; t < ${teams}u; t++) { total += squares[n * ${teams}u + t]; }
  let factor = inverseSqrt(total / ${columns}.0 + ${o.normalise.epsilon.toExponential()});
  ${weights.map((_, w) => `value${w} *= factor;`).join(" ")}`
      : ""
  }
  ${format === "int8" ? weights.map((_, w) => `value${w} *= ${scales[w]}[m];`).join(" ") : ""}
  output[sizes.outputFirst + n * sizes.outputStride + sizes.firstRow + m] = ${gated ? "silu(value0) * value1" : "finish(n, m, value0, before)"};
}`;
}

type SumName = (w: number, r: number, n: number) => string;

/** Nibbles stand for 8 more than they mean: eight times the sum of the input is taken off. */
function int4Text({ rows }: DotGemvOptions, u: number, w: number, r: number, sum: SumName): string {
  const word = `v${u}_${w}_${r}_0`;
  const part = (n: number, i: number) => {
    const c = "xyzw"[i];
    return `dot4I8Packed(even.${c}, low${n}.${c}) + dot4I8Packed(odd.${c}, high${n}.${c})`;
  };
  return `let even = ${word} & vec4u(0x0f0f0f0fu);
let odd = (${word} >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
let scale = bitcast<f32>((t${u}_${w}_${r} << select(0u, 16u, (have${u} & 1u) == 0u)) & 0xffff0000u);
${lines(
  rows,
  (n) =>
    `${sum(w, r, n)} = fma(fma(f32(${range(4)
      .map((i) => part(n, i))
      .join(" + ")}), factor${n}.x, factor${n}.y), scale, ${sum(w, r, n)});`,
)}`;
}

function int8Text({ rows }: DotGemvOptions, u: number, w: number, r: number, sum: SumName): string {
  const part = (n: number, i: number) =>
    `dot4I8Packed(v${u}_${w}_${r}_${i >> 2}.${"xyzw"[i & 3]}, ${i < 4 ? "low" : "high"}${n}.${"xyzw"[i & 3]})`;
  return lines(
    rows,
    (n) =>
      `${sum(w, r, n)} = fma(f32(${range(8)
        .map((i) => part(n, i))
        .join(" + ")}), factor${n}.x, ${sum(w, r, n)});`,
  );
}
