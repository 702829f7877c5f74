/**
 * WGSL text for 16x16 fragments, the operands of the matrix units: f16 left and right ones, f32 results. Arrays in
 * workgroup memory hold f16 as `vec4u` (eight a word) and f32 as `vec4f`; offsets and strides count their elements.
 * A second implementation of plain loops (fragments.emulated.ts) runs the same kernels where there are no matrix units.
 */
export interface Fragments {
  /** Part of a kernel's key. */
  readonly name: string;
  readonly features: readonly GPUFeatureName[];
  /** Lines before all others. */
  readonly enables: string;
  /** Functions that the statements below call, for these arrays of f16. */
  declarations(arrays: readonly string[]): string;
  /** Parameters of `main`; `lane` and `subgroup` are defined after `prologue`. */
  readonly parameters: string;
  readonly prologue: string;
  /** Defines a left fragment from rows of an array. */
  left(name: string, array: string, offset: string, stride: number): string;
  /** Defines a right fragment `[16 down the sum, 16 across]`, its columns lying along the array's rows (`column`) or down them. */
  right(name: string, array: string, offset: string, stride: number, order: "row" | "column"): string;
  /** Defines a result of zeros. */
  result(name: string): string;
  /** `result += left · right`. */
  multiply(result: string, left: string, right: string): string;
  store(array: string, offset: string, stride: number, result: string): string;
  reload(result: string, array: string, offset: string, stride: number): string;
}

/** The matrix units, in the spelling of current Dawn. Right where every subgroup has 32 invocations. */
export const matrixUnits: Fragments = {
  name: "matrix",
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix" as GPUFeatureName],
  // Subgroups without rows of their own skip the products: uniform within each, which the compiler can not see.
  enables: `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);`,
  declarations: () => `alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Result = subgroup_matrix_result<f32, 16, 16>;`,
  parameters: "@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32",
  prologue: "",
  left: (name, array, offset, stride) =>
    `let ${name} = subgroupMatrixLoad<Left, row_major>(&${array}, ${offset}, ${stride}u);`,
  right: (name, array, offset, stride, order) =>
    `let ${name} = subgroupMatrixLoad<Right, ${order === "row" ? "row_major" : "col_major"}>(&${array}, ${offset}, ${stride}u);`,
  result: (name) => `var ${name} = Result();`,
  multiply: (result, left, right) =>
    `${result} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${result});`,
  store: (array, offset, stride, result) =>
    `subgroupMatrixStore<row_major>(&${array}, ${offset}, ${result}, ${stride}u);`,
  reload: (result, array, offset, stride) =>
    `${result} = subgroupMatrixLoad<Result, row_major>(&${array}, ${offset}, ${stride}u);`,
};
