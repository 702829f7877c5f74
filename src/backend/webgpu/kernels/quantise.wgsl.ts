import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { int4Group, weightLayout } from "./product.ts";

/** How the rows to quantise lie in the staging buffer. */
export type SourceFormat = "bf16" | "f16" | "f32";

export interface QuantiseOptions {
  readonly columns: number;
  readonly from: SourceFormat;
  readonly to: "int8" | "int4";
}

/**
 * Rows of a checkpoint's tensor to integers, as the cpu backend has them, bit for bit. int8: one f32 scale a row, the
 * largest magnitude becomes 127. int4: one bf16 scale for 32 columns, the value of largest magnitude becomes -8, and
 * the scale is rounded before it divides. Halves round away from zero. The layout is that of `weightLayout`.
 *
 * Bindings: source `array<u32>` `[rows, sourceStride]`, target `array<u32>`, scales `array<f32>` or two bf16 a u32,
 * uniform { rows, sourceStride, firstRow }: source row n becomes row `firstRow + n` of the target. sourceStride counts
 * elements, whatever their size.
 */
export function quantise({ columns, from, to }: QuantiseOptions): Kernel {
  const { paddedColumns } = weightLayout(1, columns, to);
  return {
    key: `quantise ${columns} ${from} to ${to}`,
    code: `struct Sizes { rows: u32, sourceStride: u32, firstRow: u32 }
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<${to === "int8" ? "f32" : "u32"}>;
@group(0) @binding(3) var<uniform> sizes: Sizes;
${valueText(from, columns)}
${nearestText}
${to === "int8" ? int8Text(paddedColumns) : int4Text(columns, paddedColumns)}`,
    bindings: ["read", "write", "write", "uniform"],
    features: [],
  };
}

const threads = 64;

/**
 * WGSL's division may be 2.5 units in the last place off: near a half, where that matters, and for scales the quotient
 * is made digit by digit and rounded to even, as IEEE 754 has it.
 */
const nearestText = `fn quotient(a: f32, b: f32) -> f32 {
  let top = bitcast<u32>(abs(a));
  let bottom = bitcast<u32>(abs(b));
  let divisor = (bottom & 0x7fffffu) | 0x800000u;
  var remainder = (top & 0x7fffffu) | 0x800000u;
  var exponent = i32(top >> 23u) - i32(bottom >> 23u) + 127;
  if (remainder < divisor) {
    remainder <<= 1u;
    exponent--;
  }
  if (top < 0x800000u || exponent <= 0) { return 0.0; }
  var digits = 0u; // 24, and one to round by
  for (var i = 0u; i < 25u; i++) {
    digits <<= 1u;
    if (remainder >= divisor) {
      remainder -= divisor;
      digits |= 1u;
    }
    remainder <<= 1u;
  }
  let whole = digits >> 1u;
  let up = (digits & 1u) & (whole | select(0u, 1u, remainder != 0u));
  return bitcast<f32>((u32(exponent) << 23u) + (whole - 0x800000u) + up);
}
fn nearest(a: f32, b: f32) -> i32 {
  var q = abs(a / b);
  if (abs(fract(q) - 0.5) < 0.001) { q = quotient(a, b); }
  let whole = trunc(q);
  let magnitude = i32(select(whole, whole + 1.0, q - whole >= 0.5));
  return select(magnitude, -magnitude, (a < 0.0) != (b < 0.0));
}`;

export function quantiseWorkgroups({ columns, to }: QuantiseOptions, rows: number): Workgroups {
  const { paddedColumns } = weightLayout(1, columns, to);
  return foldWorkgroups(to === "int8" ? rows : Math.ceil((rows * paddedColumns) / 64 / threads));
}

/** `fn valueAt(row, column) -> f32`: zero from column K on. */
function valueText(from: SourceFormat, columns: number): string {
  const element = "let element = row * sizes.sourceStride + column;";
  const read = {
    f32: "bitcast<f32>(source[element])",
    f16: "unpack2x16float(source[element >> 1u])[element & 1u]",
    bf16: "bitcast<f32>((source[element >> 1u] << (16u - 16u * (element & 1u))) & 0xffff0000u)",
  }[from];
  return `fn valueAt(row: u32, column: u32) -> f32 {
  if (column >= ${columns}u) { return 0.0; }
  ${element}
  return ${read};
}`;
}

/** A workgroup a row. */
function int8Text(paddedColumns: number): string {
  return `var<workgroup> most: array<f32, ${threads}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= sizes.rows) { return; }
  var mine = 0.0;
  for (var column = thread; column < ${paddedColumns}u; column += ${threads}u) {
    mine = max(mine, abs(valueAt(row, column)));
  }
  most[thread] = mine;
  for (var width = ${threads / 2}u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (thread < width) { most[thread] = max(most[thread], most[thread + width]); }
  }
  workgroupBarrier();
  let scale = quotient(most[0], 127.0);
  if (thread == 0u) { scales[sizes.firstRow + row] = scale; }
  for (var word = thread; word < ${paddedColumns / 4}u; word += ${threads}u) {
    var bits = 0u;
    for (var i = 0u; i < 4u; i++) {
      if (scale > 0.0) { bits |= (bitcast<u32>(nearest(valueAt(row, word * 4u + i), scale)) & 0xffu) << (8u * i); }
    }
    target_words[(sizes.firstRow + row) * ${paddedColumns / 4}u + word] = bits;
  }
}`;
}

/** An invocation for two groups, whose scales share a u32. */
function int4Text(columns: number, paddedColumns: number): string {
  const pairs = paddedColumns / (2 * int4Group);
  return `fn bf16Of(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32) {
  let item = (group.x + group.y * groups.x) * ${threads}u + thread;
  let row = item / ${pairs}u;
  let pair = item % ${pairs}u;
  if (row >= sizes.rows) { return; }
  var both = 0u;
  for (var half = 0u; half < 2u; half++) {
    let first = (pair * 2u + half) * ${int4Group}u;
    var extreme = 0.0;
    for (var i = 0u; i < ${int4Group}u; i++) {
      let value = valueAt(row, first + i);
      if (abs(value) > abs(extreme)) { extreme = value; }
    }
    // A group beyond the columns has no scale; one of zeros has that of the cpu backend, minus zero.
    let narrow = select(0u, bf16Of(extreme * -0.125), first < ${columns}u);
    let scale = bitcast<f32>(narrow << 16u);
    both |= narrow << (16u * half);
    for (var word = 0u; word < ${int4Group / 8}u; word++) {
      var bits = 0u;
      for (var i = 0u; i < 8u; i++) {
        var q = 0;
        if (scale != 0.0) { q = clamp(nearest(valueAt(row, first + word * 8u + i), scale), -8, 7); }
        bits |= u32(q + 8) << (4u * i);
      }
      target_words[(sizes.firstRow + row) * ${paddedColumns / 8}u + first / 8u + word] = bits;
    }
  }
  scales[(sizes.firstRow + row) * ${pairs}u + pair] = both;
}`;
}
