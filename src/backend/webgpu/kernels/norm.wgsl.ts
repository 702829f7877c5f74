import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { outputArray, type ResultType, writtenFunction } from "./half-output.ts";
import { float, reduction, sum, uniformOf, workgroupNumber } from "./wgsl.ts";

export interface NormOptions {
  readonly kind: "layerNorm" | "rmsNorm";
  /** D */
  readonly columns: number;
  readonly epsilon: number;
  /** Invocations for a row, a power of two. */
  readonly threads: number;
  /** Whether columns, strides and firsts are multiples of 4: then four columns are read and written at once. */
  readonly wide?: boolean;
  /** Only with `wide`: neighbours that sum without workgroup memory, a power of two that no subgroup is smaller than. */
  readonly lanes?: number;
  /** Only with `wide`: f16 has a `status`, set to 1 by a value beyond it. Strides and firsts count elements all the same. */
  readonly result?: ResultType;
}

const sizes = ["rows", "inputStride", "inputFirst", "outputStride", "outputFirst"];

/**
 * LayerNorm or RMSNorm over each row, one workgroup a row: see `LayerNorm` and `RmsNorm`. The variance is that of the
 * differences from the mean, so a mean far from zero costs no digits.
 *
 * 0 input f32 · 1 weight f32 `[D]` · 2 bias f32 `[D]` (LayerNorm only) · output f32 or f16 · status (f16 only) · uniform.
 */
export function normKernel(options: NormOptions): Kernel {
  const { kind, columns, epsilon, threads, wide = false } = options;
  if (wide) return wideNormKernel(options);
  if (options.result === "f16" || options.lanes) {
    throw new RangeError("only a wide norm can write f16 or sum in subgroups");
  }
  const layer = kind === "layerNorm";
  const output = layer ? 3 : 2;
  return {
    key: `${kind} ${columns} ${epsilon} ${threads}`,
    code: `
@group(0) @binding(0) var<storage, read_write> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
${layer ? "@group(0) @binding(2) var<storage, read> bias: array<f32>;" : ""}
@group(0) @binding(${output}) var<storage, read_write> result: array<f32>;
${uniformOf(sizes, output + 1)}
const columns = ${columns}u;
${reduction("total", threads, sum)}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  // A workgroup beyond the last row works on that row again, and writes nothing: barriers must be met by all.
  let asked = ${workgroupNumber};
  let row = min(asked, sizes.rows - 1u);
  let read = row * sizes.inputStride + sizes.inputFirst;
  let write = row * sizes.outputStride + sizes.outputFirst;
  var own = 0.0;
  ${
    layer
      ? `for (var c = lane; c < columns; c += ${threads}u) { own += input[read + c]; }
  let mean = total(own, lane) / f32(columns);
  own = 0.0;
  // What rounding has left of the mean, when that is far from zero.
  for (var c = lane; c < columns; c += ${threads}u) { own += input[read + c] - mean; }
  let rest = total(own, lane) / f32(columns);
  own = 0.0;`
      : "const mean = 0.0;\n  const rest = 0.0;"
  }
  for (var c = lane; c < columns; c += ${threads}u) {
    let apart = input[read + c] - mean - rest;
    own += apart * apart;
  }
  let inverse = 1.0 / sqrt(total(own, lane) / f32(columns) + ${float(epsilon)});
  if (asked > row) { return; }
  for (var c = lane; c < columns; c += ${threads}u) {
    result[write + c] = (input[read + c] - mean - rest) * inverse * weight[c]${layer ? " + bias[c]" : ""};
  }
}`,
    bindings: ["write", "read", ...(layer ? ["read" as const] : []), "write", "uniform"],
    features: [],
  };
}

/** Invocations for a row of a wide norm that hold up to four times four columns each, as far as `most` allows. */
export function wideNormThreads(columns: number, most = 256): number {
  let threads = 32;
  while (threads * 16 < columns && threads * 2 <= most) threads *= 2;
  return threads;
}

/** The same sums with a row kept in registers, read once. Weights are asked for before the sums: they may be far away. */
function wideNormKernel({ kind, columns, epsilon, threads, lanes = 1, result = "f32" }: NormOptions): Kernel {
  if (columns % 4 !== 0) throw new RangeError(`${columns} columns are not a multiple of 4`);
  const layer = kind === "layerNorm";
  const half = result === "f16";
  const chunks = columns / 4;
  const each = (line: (i: number, at: string, whole: boolean) => string) =>
    Array.from({ length: Math.ceil(chunks / threads) }, (_, i) =>
      line(i, `lane + ${i * threads}u`, (i + 1) * threads <= chunks),
    ).join("\n  ");
  const load = (name: string, from: string, first: string) =>
    each((i, at, whole) => {
      const read = `${name}${i} = ${from}[${first}${at}];`;
      return whole ? `var ${read}` : `var ${name}${i} = vec4f(0.0);\n  if (${at} < ${chunks}u) { ${read} }`;
    });
  const lessen = (by: string) =>
    each((i, at, whole) =>
      whole ? `x${i} -= ${by};` : `x${i} = select(vec4f(0.0), x${i} - ${by}, ${at} < ${chunks}u);`,
    );
  const average = (name: string) => `var ${name}Own = vec4f(0.0);
  ${each((i) => `${name}Own += x${i};`)}
  let ${name} = ${name}Sum(${name}Own.x + ${name}Own.y + ${name}Own.z + ${name}Own.w, lane) / ${float(columns)};
  ${lessen(name)}`;
  const bindings = [
    ["input", "write", "array<vec4f>"],
    ["weight", "read", "array<vec4f>"],
    ...(layer ? [["bias", "read", "array<vec4f>"] as const] : []),
    ["result", "write", outputArray(result)],
    ...(half ? [["status", "write", "atomic<u32>"] as const] : []),
  ] as const;
  const spaces = { read: "storage, read", write: "storage, read_write" };
  return {
    key: `${kind} ${columns} ${epsilon} ${threads} wide ${lanes} ${result}`,
    code: `${lanes > 1 ? "enable subgroups;" : ""}
${bindings.map(([name, kind, type], i) => `@group(0) @binding(${i}) var<${spaces[kind]}> ${name}: ${type};`).join("\n")}
${uniformOf(sizes, bindings.length)}
${writtenFunction(result, "status")}
${layer ? `${rowSum("meanSum", threads, lanes)}\n${rowSum("restSum", threads, lanes)}` : ""}
${rowSum("squareSum", threads, lanes)}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let row = ${workgroupNumber};
  if (row >= sizes.rows) { return; }
  let read = (row * sizes.inputStride + sizes.inputFirst) / 4u;
  let write = (row * sizes.outputStride + sizes.outputFirst) / 4u;
  ${load("x", "input", "read + ")}
  ${load("w", "weight", "")}
  ${layer ? load("b", "bias", "") : ""}
  ${layer ? `${average("mean")}\n  // What rounding has left of the mean, when that is far from zero.\n  ${average("rest")}` : ""}
  var own = 0.0;
  ${each((i) => `own += dot(x${i}, x${i});`)}
  let inverse = 1.0 / sqrt(squareSum(own, lane) / ${float(columns)} + ${float(epsilon)});
  ${each((i, at, whole) => {
    const store = `result[write + ${at}] = written(x${i} * inverse * w${i}${layer ? ` + b${i}` : ""});`;
    return whole ? store : `if (${at} < ${chunks}u) { ${store} }`;
  })}
}`,
    bindings: [...bindings.map(([, kind]) => kind), "uniform"],
    features: lanes > 1 ? ["subgroups"] : [],
  };
}

/**
 * `name(own, lane)`: the sum over a row's invocations, given to all of them, with as few barriers as may be. To be called
 * once: nothing waits for the readers of an earlier sum.
 */
function rowSum(name: string, threads: number, lanes: number): string {
  const parts = threads / lanes;
  if (!Number.isInteger(parts))
    throw new RangeError(`${threads} invocations are no multiple of ${lanes} lanes`);
  const shuffles = Array.from(
    { length: Math.log2(lanes) },
    (_, i) => `sum += subgroupShuffleXor(sum, ${1 << i}u);`,
  );
  // Many parts are brought to about their square root before every invocation sums them all.
  const kept = parts > 16 ? 2 ** Math.floor(Math.log2(parts) / 2) : parts;
  const adding = (array: string, count: number, at: (i: string) => string) => `sum = 0.0;
  for (var i = 0u; i < ${count}u; i++) { sum += ${array}[${at("i")}]; }`;
  const first = `if (lane % ${lanes}u == 0u) { ${name}Parts[lane / ${lanes}u] = sum; }
  workgroupBarrier();`;
  const second = `if (lane < ${kept}u) {
    ${adding(`${name}Parts`, parts / kept, (i) => `lane + ${i} * ${kept}u`)}
    ${name}Kept[lane] = sum;
  }
  workgroupBarrier();`;
  const shared = kept < parts ? `${name}Kept` : `${name}Parts`;
  return `${parts > 1 ? `var<workgroup> ${name}Parts: array<f32, ${parts}>;` : ""}
${kept < parts ? `var<workgroup> ${name}Kept: array<f32, ${kept}>;` : ""}
fn ${name}(own: f32, lane: u32) -> f32 {
  var sum = own;
  ${shuffles.join("\n  ")}
  ${parts > 1 ? first : ""}
  ${kept < parts ? second : ""}
  ${parts > 1 ? adding(shared, kept, (i) => i) : ""}
  return sum;
}`;
}

export function normWorkgroups(rows: number): Workgroups {
  return foldWorkgroups(rows);
}
