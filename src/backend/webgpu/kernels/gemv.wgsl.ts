import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
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
  weightsPerWord,
} from "./product.ts";
import { lines } from "./wgsl.ts";

/**
 * Products of 1 to 8 rows, all f32 but the weights: `Matmul`, `GatedMatmul`. Weights are read once, at the speed of the
 * memory: a workgroup makes `together` outputs, its threads standing side by side along K, each with `together` x
 * `unroll` loads of `words` u32 in flight; sums meet by subgroups, then in workgroup memory.
 *
 * With `staged` the inputs of each round go through workgroup memory, where the threads of a subgroup find theirs in
 * different banks: what integers want, whose threads take many columns each.
 *
 * Bindings: see `productBindings`. Input rows must lie at multiples of 4 elements (first and stride) unless
 * `scalarInput`; K must then be a multiple of 4. The uniform's rows: 1 to `rows`. Any subgroup size.
 *
 * With `normalise` the input is `RmsNorm`ed on the way: its weight f32 `[K, 1]` is bound after weight and scales.
 */
export interface GemvOptions extends ProductOptions {
  /** Most rows of the input. */
  readonly rows: number;
  readonly normalise?: { readonly epsilon: number };
  readonly scalarInput?: boolean;
  readonly threads?: number;
  readonly together?: number;
  readonly words?: 1 | 2 | 4;
  readonly unroll?: number;
  readonly staged?: boolean;
  readonly decode?: Decode;
}

/**
 * How integers become floats. "convert": by conversion. "magic": as the low bits of a float. "half": two at a time as
 * the low bits of f16 numbers. "bits": int4 as high bits of a float, 128 or 2048 too large: that much of the inputs' sum
 * is taken off beforehand, at the cost of some digits (2e-5 of the result).
 */
export type Decode = "convert" | "magic" | "half" | "bits";

type Complete = Required<Omit<GemvOptions, "normalise" | "epilogue">> &
  Pick<GemvOptions, "normalise" | "epilogue">;

type Variant = Pick<Complete, "together" | "words" | "staged" | "decode">;

/** What has been fastest, format by format: SPEED.md. */
const defaults: Readonly<Record<WeightFormat, Variant & { readonly mostThreads: number }>> = {
  f32: { together: 2, words: 4, staged: false, decode: "convert", mostThreads: 256 },
  f16: { together: 2, words: 4, staged: false, decode: "convert", mostThreads: 256 },
  bf16: { together: 2, words: 4, staged: false, decode: "convert", mostThreads: 256 },
  int8: { together: 4, words: 2, staged: false, decode: "convert", mostThreads: 256 },
  int4: { together: 4, words: 2, staged: false, decode: "half", mostThreads: 128 },
};

/** Sums of a thread: more of them crowd its registers. */
const mostSums = 8;
/** u32 of weights that a thread may have under way. */
const mostWords = 64;
/** Bytes of inputs in workgroup memory. */
const mostStaged = 30000;

function complete(options: GemvOptions): Complete {
  const { mostThreads, ...fastest } = defaults[options.format];
  const scalarInput = options.columns % 4 !== 0;
  const o = { gated: false, scalarInput, ...fastest, ...options };
  const side = o.gated ? 2 : 1;
  const together = options.together ?? Math.max(1, Math.min(o.together, mostSums / (o.rows * side)));
  const chunks = chunksOf(o);
  const threads = options.threads ?? fittingThreads(chunks, mostThreads);
  const rounds = Math.ceil(chunks / threads);
  const inRegisters = mostWords / (together * side * o.words);
  const inWorkgroup = mostStaged / (threads * o.words * weightsPerWord[o.format] * 4 * o.rows);
  const room = Math.max(1, Math.floor(o.staged ? Math.min(inRegisters, inWorkgroup) : inRegisters));
  const unroll = options.unroll ?? range(room + 1).findLast((u) => u > 0 && rounds % u === 0)!;
  return { ...o, together, threads, unroll };
}

/** Loads of `words` u32 in a row of the weight. */
function chunksOf({ columns, outputs, format, words }: GemvOptions & { words: number }): number {
  return weightLayout(outputs, columns, format).paddedColumns / (words * weightsPerWord[format]);
}

/** The multiple of 32 that leaves the fewest threads idle in the last round, the larger among equals. */
function fittingThreads(chunks: number, most: number): number {
  const idle = (threads: number) => Math.ceil(chunks / threads) * threads;
  return range(most / 32)
    .map((i) => most - 32 * i)
    .reduce((best, threads) => (idle(threads) < idle(best) ? threads : best));
}

/** Workgroups of a `gemv`. */
export function gemvWorkgroups(options: GemvOptions): Workgroups {
  return foldWorkgroups(Math.ceil(options.outputs / complete(options).together));
}

export function gemv(options: GemvOptions): Kernel {
  const o = complete(options);
  const vector = { 1: "u32", 2: "vec2u", 4: "vec4u" }[o.words];
  const floats = o.scalarInput ? "array<f32>" : "array<vec4f>";
  const bindings = productBindings(o, {
    input: floats,
    weight: `array<${vector}>`,
    norm: o.normalise && floats,
  });
  return {
    key: [
      `gemv ${o.columns}x${o.outputs} ${o.format} ${epilogueKey(o)} rows${o.rows}`,
      `t${o.threads} o${o.together} w${o.words} u${o.unroll} ${o.decode}${o.staged ? " staged" : ""}`,
      o.normalise ? `norm${o.normalise.epsilon}` : "",
      o.scalarInput ? "scalar" : "",
    ].join(" "),
    code: `enable subgroups;
${productSizesText}
${declare(bindings)}
${finishText(o)}
${body(o)}`,
    bindings: bindings.map(([, kind]) => kind),
    features: ["subgroups"],
  };
}

function body(o: Complete): string {
  const { columns, outputs, rows, threads, together, words, unroll, gated } = o;
  const { paddedColumns } = weightLayout(outputs, columns, o.format);
  const chunk = words * weightsPerWord[o.format]; // columns that a thread reads of a row at once
  const chunks = chunksOf(o);
  const round = threads * unroll;
  const weights = gated ? ["gate", "up"] : ["weight"];
  const all = weights.flatMap((_, w) =>
    range(together).flatMap((r) => range(rows).map((n) => `sum${w}_${r}_${n}`)),
  );
  const sums = o.normalise ? [...all, ...range(rows).map((n) => `squares${n}`)] : all;
  const quads = chunk / 4;
  const name = (u: number, n: number, q: number) => `x${u}_${n}_${q}`;
  const whole = chunks % round === 0 && columns === paddedColumns;
  const step = (u: number) => `
    let at${u} = first + thread + ${u * threads}u;
    let chunk${u} = ${whole ? `at${u}` : `min(at${u}, ${chunks - 1}u)`};
    ${lines(together, (r) => weights.map((weight, w) => `let w${u}_${w}_${r} = ${weight}[row${r} * ${chunks}u + chunk${u}];`).join("\n"))}
    ${o.format === "int4" ? lines(together, (r) => weights.map((_, w) => `let s${u}_${w}_${r} = ${gated ? ["gateScales", "upScales"][w] : "scales"}[(row${r} * ${paddedColumns / int4Group}u + chunk${u} * ${chunk}u / ${int4Group}u) / 2u];`).join("\n")) : ""}`;
  // Input quad q of row n of this thread's chunk; normalised, its squares added up.
  const inputs = (u: number) =>
    lines(rows, (n) =>
      lines(quads, (q) => {
        const x = name(u, n, q);
        if (o.staged)
          return `let ${x} = staged[${(n * quads + q) * (round + 1)}u + thread + ${u * threads}u];`;
        const at = `at${u} * ${quads}u + ${q}u`;
        if (!o.normalise) return `let ${x} = quad(start${n}, ${at});`;
        return `let raw_${x} = quad(start${n}, ${at});
    squares${n} += dot(raw_${x}, raw_${x});
    let ${x} = raw_${x} * normQuad(${at});`;
      }),
    );
  const excess = (u: number) =>
    o.format === "int4" && o.decode === "bits"
      ? lines(
          rows,
          (n) =>
            `let excess${u}_${n} = dot(${range(quads)
              .map((q) => name(u, n, q))
              .join(" + ")}, vec4f(136.0, 2056.0, 136.0, 2056.0));`,
        )
      : "";
  // Quad q of chunk c stands at [q, c], rows of round + 1: threads write and read different banks.
  const stage = `
    if (first > 0u) { workgroupBarrier(); }
    for (var i = thread; i < ${round * quads}u; i += ${threads}u) {
      let c = i / ${quads}u;
      let q = i % ${quads}u;
      let at = first * ${quads}u + i;
      ${lines(
        rows,
        (n) => `{ let value = quad(start${n}, at);
      ${o.normalise ? `squares${n} += dot(value, value);` : ""}
      staged[(${n * quads}u + q) * ${round + 1}u + c] = value${o.normalise ? " * normQuad(at)" : ""}; }`,
      )}
    }
    workgroupBarrier();`;
  const multiply = (u: number) =>
    weights
      .map((_, w) => lines(together, (r) => multiplyChunk(o, u, w, r, chunk, (n, q) => name(u, n, q))))
      .join("\n");
  return `
const columns = ${columns}u;
${quadText("quad", "input", o, true, whole)}
${o.normalise ? quadText("normQuad", "norm", o, false, whole) : ""}
${decodeText(o)}
${o.staged ? `var<workgroup> staged: array<vec4f, ${rows * quads * (round + 1)}>;` : ""}
var<workgroup> partial: array<f32, ${sums.length * Math.ceil(threads / 4)}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32, @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
  let firstOutput = (group.x + group.y * groups.x) * ${together}u;
  if (firstOutput >= ${outputs}u) { return; }
  ${lines(together, (r) => `let row${r} = ${outputs % together === 0 ? `firstOutput + ${r}u` : `min(firstOutput + ${r}u, ${outputs - 1}u)`};`)}
  ${lines(rows, (n) => `let start${n} = ${rows === 1 ? "sizes.inputFirst" : `sizes.inputFirst + min(${n}u, sizes.rows - 1u) * sizes.inputStride`};`)}
  ${sums.map((sum) => `var ${sum} = 0.0;`).join("\n  ")}
  let r = thread / ${rows}u;
  let n = thread % ${rows}u;
  let m = firstOutput + r;
  // Early: a wait of its own at the end would be as long as that for the weights.
  ${gated ? "" : `let before = residualAt(min(n, sizes.rows - 1u), min(m, ${outputs - 1}u));`}
  for (var first = 0u; first < ${chunks}u; first += ${round}u) {
    ${lines(unroll, step)}
    ${o.staged ? stage : ""}
    ${lines(unroll, (u) => `${inputs(u)}\n${excess(u)}\n${multiply(u)}`)}
  }
  ${sums.map((sum, i) => `{ let whole = subgroupAdd(${sum}); if (lane == 0u) { partial[subgroup * ${sums.length}u + ${i}u] = whole; } }`).join("\n  ")}
  workgroupBarrier();
  if (r >= ${together}u || m >= ${outputs}u || n >= sizes.rows) { return; }
  ${weights.map((_, w) => `var value${w} = 0.0;`).join("\n  ")}
  ${o.normalise ? "var squares = 0.0;" : ""}
  for (var s = 0u; s < subgroups; s++) {
    let base = s * ${sums.length}u + thread;
    ${weights.map((_, w) => `value${w} += partial[base + ${w * together * rows}u];`).join("\n    ")}
    ${o.normalise ? `squares += partial[s * ${sums.length}u + ${all.length}u + n];` : ""}
  }
  ${o.normalise ? `let factor = inverseSqrt(squares / ${columns}.0 + ${o.normalise.epsilon.toExponential()});\n  ${weights.map((_, w) => `value${w} *= factor;`).join("\n  ")}` : ""}
  ${o.format === "int8" ? weights.map((_, w) => `value${w} *= ${gated ? ["gateScales", "upScales"][w] : "scales"}[m];`).join("\n  ") : ""}
  let value = ${gated ? "silu(value0) * value1" : "finish(n, m, value0, before)"};
  output[sizes.outputFirst + n * sizes.outputStride + sizes.firstRow + m] = value;
}`;
}

/** `fn name([start,] i) -> vec4f`: columns 4i … 4i + 3 of an array's row; zeros from column K on, with nothing read there. */
function quadText(name: string, array: string, o: Complete, started: boolean, whole: boolean): string {
  const parameters = started ? "start: u32, i: u32" : "i: u32";
  if (!o.scalarInput) {
    const base = started ? "start / 4u + " : "";
    const inside = whole
      ? `return ${array}[${base}i];`
      : `let value = ${array}[${base}min(i, ${o.columns / 4 - 1}u)];
  return select(vec4f(), value, i < ${o.columns / 4}u);`;
    return `fn ${name}(${parameters}) -> vec4f {\n  ${inside}\n}`;
  }
  const base = started ? "start + " : "";
  const at = (j: number) => `${array}[${base}min(c + ${j}u, columns - 1u)]`;
  return `fn ${name}(${parameters}) -> vec4f {
  let c = i * 4u;
  let value = vec4f(${range(4).map(at).join(", ")});
  return select(vec4f(), value, vec4u(c) + vec4u(0u, 1u, 2u, 3u) < vec4u(columns));
}`;
}

/** `fn decode(word) -> ...`: a u32 of weights as floats; see `Decode`. */
function decodeText({ format, decode }: Complete): string {
  switch (format) {
    case "f32":
      return "";
    case "f16":
      return "fn decode(word: u32) -> vec2f { return unpack2x16float(word); }";
    case "bf16":
      return "fn decode(word: u32) -> vec2f { return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u)); }";
    case "int8":
      return {
        convert: "fn decode(word: u32) -> vec4f { return vec4f(unpack4xI8(word)); }",
        magic: `fn decode(word: u32) -> vec4f {
  let bits = vec4u(word, word >> 8u, word >> 16u, word >> 24u) & vec4u(0xffu);
  return bitcast<vec4f>((bits ^ vec4u(0x4b000080u))) - 8388736.0;
}`,
        half: `fn decode(word: u32) -> vec4f {
  let flipped = word ^ 0x80808080u;
  let even = unpack2x16float((flipped & 0x00ff00ffu) | 0x64006400u) - 1152.0;
  let odd = unpack2x16float(((flipped >> 8u) & 0x00ff00ffu) | 0x64006400u) - 1152.0;
  return vec4f(even.x, odd.x, even.y, odd.y);
}`,
        bits: "fn decode(word: u32) -> vec4f { return vec4f(unpack4xI8(word)); }",
      }[decode];
    case "int4":
      return {
        convert: `fn decode(word: u32) -> array<vec4f, 2> {
  let bytes = array<vec4f, 2>(vec4f(unpack4xU8(word & 0x0f0f0f0fu)) - 8.0, vec4f(unpack4xU8((word >> 4u) & 0x0f0f0f0fu)) - 8.0);
  return array<vec4f, 2>(vec4f(bytes[0].x, bytes[1].x, bytes[0].y, bytes[1].y), vec4f(bytes[0].z, bytes[1].z, bytes[0].w, bytes[1].w));
}`,
        magic: `fn decode(word: u32) -> array<vec4f, 2> {
  let one = vec4f(1.0, 0.0625, 0.00390625, 0.000244140625);
  let offset = vec4f(-8388616.0, -524296.0, -32776.0, -2056.0);
  let low = bitcast<vec4f>((vec4u(word) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u)) | vec4u(0x4b000000u));
  let high = bitcast<vec4f>((vec4u(word >> 16u) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u)) | vec4u(0x4b000000u));
  return array<vec4f, 2>(fma(low, one, offset), fma(high, one, offset));
}`,
        half: `fn decode(word: u32) -> array<vec4f, 2> {
  let a = unpack2x16float((word & 0x000f000fu) | 0x64006400u) - 1032.0;
  let b = fma(unpack2x16float((word & 0x00f000f0u) | 0x64006400u), vec2f(0.0625), vec2f(-72.0));
  let shifted = word >> 8u;
  let c = unpack2x16float((shifted & 0x000f000fu) | 0x64006400u) - 1032.0;
  let d = fma(unpack2x16float((shifted & 0x00f000f0u) | 0x64006400u), vec2f(0.0625), vec2f(-72.0));
  return array<vec4f, 2>(vec4f(a.x, b.x, c.x, d.x), vec4f(a.y, b.y, c.y, d.y));
}`,
        bits: `fn decode(word: u32) -> array<vec4f, 2> {
  const places = vec4u(0xf0000u, 0xf000u, 0xf0000u, 0xf000u);
  const exponents = vec4u(0x43000000u, 0x45000000u, 0x43000000u, 0x45000000u);
  let left = word << 8u;
  let right = word >> 8u;
  let low = (vec4u(word << 16u, left, left, word) & places) | exponents;
  let high = (vec4u(word, right, right, word >> 16u) & places) | exponents;
  return array<vec4f, 2>(bitcast<vec4f>(low), bitcast<vec4f>(high));
}`,
      }[decode];
  }
}

/** Adds one thread's chunk of one row of the weight, times every input row, to its sums. */
function multiplyChunk(
  o: Complete,
  u: number,
  w: number,
  r: number,
  chunk: number,
  input: (n: number, quad: number) => string,
): string {
  const word = (i: number) => (o.words === 1 ? `w${u}_${w}_${r}` : `w${u}_${w}_${r}.${"xyzw"[i]}`);
  const sum = (n: number) => `sum${w}_${r}_${n}`;
  const perWord = weightsPerWord[o.format];
  const decoded =
    o.format === "f32"
      ? lines(o.words, (i) => `let d${i} = bitcast<f32>(${word(i)});`)
      : lines(o.words, (i) => `let d${i} = decode(${word(i)});`);
  const element = (c: number) => {
    const i = Math.floor(c / perWord);
    const j = c % perWord;
    if (o.format === "f32") return `d${i}`;
    return perWord === 8 ? `d${i}[${Math.floor(j / 4)}].${"xyzw"[j % 4]}` : `d${i}.${"xyzw"[j]}`;
  };
  const target = o.format === "int4" ? "group" : "";
  const chain = (n: number) =>
    lines(
      chunk,
      (c) =>
        `${target || sum(n)} = fma(${element(c)}, ${input(n, Math.floor(c / 4))}.${"xyzw"[c % 4]}, ${target || sum(n)});`,
    );
  if (o.format !== "int4") return `{\n${decoded}\n${lines(o.rows, chain)}\n}`;
  const shift = `select(0u, 16u, ((at${u} * ${chunk}u / ${int4Group}u) & 1u) == 0u)`;
  return `{
${decoded}
let groupScale = bitcast<f32>((s${u}_${w}_${r} << ${shift}) & 0xffff0000u);
${lines(o.rows, (n) => `{ var group = ${o.decode === "bits" ? `-excess${u}_${n}` : "0.0"};\n${chain(n)}\n${sum(n)} = fma(group, groupScale, ${sum(n)}); }`)}
}`;
}
