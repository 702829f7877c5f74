import type { KernelBinding } from "../kernel.ts";

/** How a weight lies in the GPU's memory: see `weightLayout`. */
export type WeightFormat = "f16" | "bf16" | "f32" | "int8" | "int4";

/** Which parts of `Matmul` follow the product: `+ bias`, activation, `⊙ scale`, `+ residual`, `+ table`, in this order. */
export interface Epilogue {
  readonly bias?: boolean;
  readonly activation?: "gelu";
  readonly scale?: boolean;
  readonly residual?: boolean;
  readonly table?: boolean;
}

/** What all kernels for products are compiled for. */
export interface ProductOptions {
  /** K: columns of the input and of the weight. */
  readonly columns: number;
  /** M: rows of the weight (of this part of it, where it is split), which are columns of the output. */
  readonly outputs: number;
  readonly format: WeightFormat;
  /** Not with `gated`. */
  readonly epilogue?: Epilogue;
  /** SwiGLU: `silu(input · gateᵀ) ⊙ (input · upᵀ)`. */
  readonly gated?: boolean;
}

/** Columns of a weight are padded with zeros to a multiple of this. */
export const columnPadding = 64;
/** Columns of an int4 weight that share a scale. */
export const int4Group = 32;

/** Weights in one u32. */
export const weightsPerWord: Readonly<Record<WeightFormat, number>> = {
  f32: 1,
  f16: 2,
  bf16: 2,
  int8: 4,
  int4: 8,
};

/**
 * Bytes of a weight `[M, K]` and of its scales. Rows are padded to Kp columns, K rounded up to 64. 16 bits: two values a
 * u32, the low half first. int8: two's complement, an f32 scale a row. int4: nibbles from 0 to 15 that stand for -8 to 7,
 * low first, a bf16 scale for 32 columns of a row, two a u32.
 */
export function weightLayout(rows: number, columns: number, format: WeightFormat) {
  const paddedColumns = Math.ceil(columns / columnPadding) * columnPadding;
  const values = (rows * paddedColumns * 4) / weightsPerWord[format];
  const scales =
    format === "int8" ? rows * 4 : format === "int4" ? (rows * paddedColumns * 2) / int4Group : 0;
  return { paddedColumns, values, scales };
}

/**
 * The uniform of every product. Strides and firsts count elements; `firstRow` is the output's column that the first row
 * of this part of the weight makes: bias, scale, residual, table and output are indexed by whole columns, weight and
 * its scales by rows of the part.
 */
export const productSizes = [
  "rows",
  "inputStride",
  "inputFirst",
  "outputStride",
  "outputFirst",
  "residualStride",
  "residualFirst",
  "tableRows",
  "firstRow",
] as const;

export const productSizesText = `struct Sizes { ${productSizes.map((name) => `${name}: u32`).join(", ")} }`;

/** A binding's name, kind and WGSL type. */
export type Declared = readonly [name: string, kind: KernelBinding, type: string];

/**
 * Bindings of a product, in order. matmul: input, weight, scales, [norm], bias, scale, residual, table, output, [status],
 * sizes. gatedMatmul: input, gate, up, gateScales, upScales, [norm], output, [status], sizes.
 */
export function productBindings(
  { format, epilogue = {}, gated = false }: ProductOptions,
  types: {
    input: string;
    weight: string;
    norm?: string;
    output?: string;
    status?: boolean;
    /** Of what the epilogue reads, and of int8's scales: "f32" or, four at once, "vec4f". */
    element?: "f32" | "vec4f";
    /** Before the sizes. */
    extra?: readonly Declared[];
  },
): Declared[] {
  const { element = "f32" } = types;
  const scales = format === "int8" ? `array<${element}>` : "array<u32>";
  const quantised = format === "int8" || format === "int4";
  const weights = gated ? ["gate", "up"] : ["weight"];
  const scaleNames = gated ? ["gateScales", "upScales"] : ["scales"];
  const read = (name: string, type: string): Declared => [name, "read", type];
  return [
    ["input", "write", types.input],
    ...weights.map((name) => read(name, types.weight)),
    ...(quantised ? scaleNames.map((name) => read(name, scales)) : []),
    ...(types.norm ? [read("norm", types.norm)] : []),
    ...(epilogue.bias ? [read("bias", `array<${element}>`)] : []),
    ...(epilogue.scale ? [read("scale", `array<${element}>`)] : []),
    ...(epilogue.residual ? [["residual", "write", `array<${element}>`] as const] : []),
    ...(epilogue.table ? [read("table", `array<${element}>`)] : []),
    ["output", "write", types.output ?? "array<f32>"],
    ...(types.status ? [["status", "write", "atomic<u32>"] as const] : []),
    ...(types.extra ?? []),
    ["sizes", "uniform", "Sizes"],
  ];
}

const spaces: Readonly<Record<KernelBinding, string>> = {
  read: "storage, read",
  write: "storage, read_write",
  uniform: "uniform",
};

/** The declarations of bindings in WGSL, numbered from 0. */
export function declare(bindings: readonly Declared[]): string {
  return bindings
    .map(([name, kind, type], i) => `@group(0) @binding(${i}) var<${spaces[kind]}> ${name}: ${type};`)
    .join("\n");
}

/**
 * `fn finish(n, m, product, before) -> f32`: what follows the product at row n, weight row m; `before` is the residual's
 * value there, as `fn residualAt(n, m)` reads it. And `silu`. With `wide` all of it is four columns at once, from m on.
 * gelu takes the share of a normal distribution beyond x by Abramowitz & Stegun 7.1.26: never more than 3e-7 off.
 */
export function finishText(
  { epilogue = {}, gated = false, outputs }: ProductOptions,
  { wide = false } = {},
): string {
  const T = wide ? "vec4f" : "f32";
  if (gated) return `fn silu(x: ${T}) -> ${T} { return x / (1.0 + exp(-x)); }`;
  const at = (index: string) => (wide ? `(${index}) / 4u` : index);
  const lines = [
    epilogue.bias ? `value += bias[${at("column")}];` : "",
    epilogue.activation === "gelu" ? "value = gelu(value);" : "",
    epilogue.scale ? `value *= scale[${at("column")}];` : "",
    epilogue.residual ? "value += before;" : "",
    epilogue.table ? `value += table[${at(`(n % sizes.tableRows) * ${outputs}u + column`)}];` : "",
  ].filter((line) => line !== "");
  const gelu = epilogue.activation === "gelu" ? geluText(T) : "";
  const column = epilogue.bias || epilogue.scale || epilogue.table ? "let column = sizes.firstRow + m;" : "";
  const residual = epilogue.residual
    ? `residual[${at("sizes.residualFirst + n * sizes.residualStride + sizes.firstRow + m")}]`
    : `${T}()`;
  return `${gelu}
fn residualAt(n: u32, m: u32) -> ${T} { return ${residual}; }
fn finish(n: u32, m: u32, product: ${T}, before: ${T}) -> ${T} {
  var value = product;
  ${column}
  ${lines.join("\n  ")}
  return value;
}`;
}

const geluText = (T: "f32" | "vec4f") => `fn gelu(x: ${T}) -> ${T} {
  let z = abs(x) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let beyond = 0.5 * p * exp(-z * z);
  return x * select(1.0 - beyond, beyond, x < ${T}());
}`;

/** The epilogue's part of a kernel's key. */
export function epilogueKey({ epilogue = {}, gated = false }: ProductOptions): string {
  const { bias, activation, scale, residual, table } = epilogue;
  const parts = [
    gated && "gated",
    bias && "bias",
    activation,
    scale && "scale",
    residual && "residual",
    table && "table",
  ];
  return parts.filter((part) => typeof part === "string").join("+") || "plain";
}

/** 0 … count - 1. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
