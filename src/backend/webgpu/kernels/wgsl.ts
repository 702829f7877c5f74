/** Pieces that kernels are put together from. */

/** Text that a kernel repeats, with the number of each copy. */
export const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

/** The number of this workgroup, however `foldWorkgroups` has folded it. */
export const workgroupNumber = "(group.x + group.y * groups.x)";

/** The struct of a kernel's uniform, `sizes`, and its binding. Names are u32 unless they end in `: f32`. */
export function uniformOf(fields: readonly string[], binding: number): string {
  const members = fields.map((field) => (field.includes(":") ? field : `${field}: u32`));
  return `struct Sizes { ${members.join(", ")} }
@group(0) @binding(${binding}) var<uniform> sizes: Sizes;`;
}

/** Largest, or sum, of `partial` (f32, one for each of `threads` invocations), given to all of them. */
export function reduction(name: string, threads: number, combine: (a: string, b: string) => string): string {
  return `var<workgroup> ${name}Partial: array<f32, ${threads}>;
fn ${name}(own: f32, lane: u32) -> f32 {
  workgroupBarrier();
  ${name}Partial[lane] = own;
  workgroupBarrier();
  for (var width = ${threads / 2}u; width > 0u; width >>= 1u) {
    if (lane < width) {
      ${name}Partial[lane] = ${combine(`${name}Partial[lane]`, `${name}Partial[lane + width]`)};
    }
    workgroupBarrier();
  }
  return ${name}Partial[0];
}`;
}

export const sum = (a: string, b: string) => `${a} + ${b}`;

/** A number as WGSL has it: always with a point or an exponent. */
export function float(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}
