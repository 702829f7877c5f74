import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { declareStaged, inputQuads, quadText, stageInputs } from "./gemv-inputs.ts";
import { type GemvOptions, type GemvPlan, plan } from "./gemv-plan.ts";
import { decodeText, excess, multiplyChunk } from "./gemv-weights.ts";
import { lookAheadBindings, lookAheadText, lookedUpText } from "./look-ahead.ts";
import {
  declare,
  epilogueKey,
  finishText,
  int4Group,
  productBindings,
  productSizesText,
  range,
} from "./product.ts";
import { lines, workgroupNumber } from "./wgsl.ts";

export function gemvWorkgroups(options: GemvOptions): Workgroups {
  return foldWorkgroups(Math.ceil(options.outputs / plan(options).together));
}

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
 * With `normalise` the input is `RmsNorm`ed on the way: its weight f32 `[K, 1]` is bound after weight and scales. With
 * `looksAhead` `lookAheadBindings` come before the sizes.
 */
export function gemv(options: GemvOptions): Kernel {
  const o = plan(options);
  const vector = { 1: "u32", 2: "vec2u", 4: "vec4u" }[o.words];
  const floats = o.scalarInput ? "array<f32>" : "array<vec4f>";
  const bindings = productBindings(o, {
    input: floats,
    weight: `array<${vector}>`,
    norm: o.normalise && floats,
    extra: o.looksAhead ? lookAheadBindings(o.looksAhead) : [],
  });
  return {
    key: [
      `gemv ${o.columns}x${o.outputs} ${o.format} ${epilogueKey(o)} rows${o.rows}`,
      `t${o.threads} o${o.together} w${o.words} u${o.unroll} ${o.decode}${o.staged ? " staged" : ""}`,
      o.normalise ? `norm${o.normalise.epsilon}` : "",
      o.scalarInput ? "scalar" : "",
      o.looksAhead ? `ahead${o.looksAhead}` : "",
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

function body(o: GemvPlan): string {
  const { columns, outputs, rows, threads, together, unroll, gated, paddedColumns, chunk, chunks, round } = o;
  const weights = gated ? ["gate", "up"] : ["weight"];
  const all = weights.flatMap((_, w) =>
    range(together).flatMap((r) => range(rows).map((n) => `sum${w}_${r}_${n}`)),
  );
  const sums = o.normalise ? [...all, ...range(rows).map((n) => `squares${n}`)] : all;
  const step = (u: number) => `
    let at${u} = first + thread + ${u * threads}u;
    let chunk${u} = ${o.whole ? `at${u}` : `min(at${u}, ${chunks - 1}u)`};
    ${lines(together, (r) => weights.map((weight, w) => `let w${u}_${w}_${r} = ${weight}[row${r} * ${chunks}u + chunk${u}];`).join("\n"))}
    ${o.format === "int4" ? lines(together, (r) => weights.map((_, w) => `let s${u}_${w}_${r} = ${gated ? ["gateScales", "upScales"][w] : "scales"}[(row${r} * ${paddedColumns / int4Group}u + chunk${u} * ${chunk}u / ${int4Group}u) / 2u];`).join("\n")) : ""}`;
  const multiply = (u: number) =>
    weights.map((_, w) => lines(together, (r) => multiplyChunk(o, { u, w, r }))).join("\n");
  return `
const columns = ${columns}u;
${quadText("quad", "input", o, true)}
${o.normalise ? quadText("normQuad", "norm", o, false) : ""}
${decodeText(o)}
${declareStaged(o)}
var<workgroup> partial: array<f32, ${sums.length * Math.ceil(threads / 4)}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32, @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
  let firstOutput = (group.x + group.y * groups.x) * ${together}u;
  ${o.looksAhead ? lookAheadText(o.looksAhead, workgroupNumber) : ""}
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
    ${stageInputs(o)}
    ${lines(unroll, (u) => `${inputQuads(o, u)}\n${excess(o, u)}\n${multiply(u)}`)}
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
  ${o.looksAhead ? lookedUpText(workgroupNumber) : ""}
}`;
}
