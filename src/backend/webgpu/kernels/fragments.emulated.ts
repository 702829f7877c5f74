import type { Fragments } from "./fragments.ts";

/**
 * Fragments as plain loops over the same workgroup memory with the same index arithmetic: what the tests run on an
 * adapter without matrix units. 32 invocations make a "subgroup"; each holds a row of a left fragment, 8 columns of a
 * right one and 8 elements of a result: row `lane / 2`, columns from `lane % 2 * 8`. The bounds of the loops are hidden
 * from the compiler (`rows` is below 2^31): unrolled, a kernel takes minutes to compile.
 */
export const emulatedFragments: Fragments = {
  name: "emulated",
  features: ["subgroups"],
  enables: "enable subgroups;\ndiagnostic(off, subgroup_uniformity);",
  declarations: (arrays) =>
    arrays
      .map(
        (array) => `fn halfOf_${array}(element: u32) -> f32 {
  let word = ${array}[element >> 3u][(element >> 1u) & 3u];
  return unpack2x16float(word)[element & 1u];
}`,
      )
      .join("\n"),
  parameters: "",
  prologue: `let subgroup = thread / 32u;
let lane = thread % 32u;
let two = 2u + (place.rows >> 31u);
let eight = 8u + (place.rows >> 31u);
let sixteen = 16u + (place.rows >> 31u);`,
  left: (name, array, offset, stride) => `var ${name}: array<f32, 16>;
for (var k = 0u; k < sixteen; k++) {
  ${name}[k] = halfOf_${array}((${offset} + lane / 2u * ${stride}u) * 8u + k);
}`,
  right: (name, array, offset, stride, order) => `var ${name}: array<f32, 128>;
for (var k = 0u; k < sixteen; k++) {
  for (var i = 0u; i < eight; i++) {
    let column = lane % 2u * 8u + i;
    ${name}[k * 8u + i] = halfOf_${array}(${
      order === "row"
        ? `(${offset} + k * ${stride}u) * 8u + column`
        : `(${offset} + column * ${stride}u) * 8u + k`
    });
  }
}`,
  result: (name) => `var ${name} = array<f32, 8>();`,
  multiply: (result, left, right) => `for (var i = 0u; i < eight; i++) {
  for (var k = 0u; k < sixteen; k++) { ${result}[i] += ${left}[k] * ${right}[k * 8u + i]; }
}`,
  store: (array, offset, stride, result) => `for (var i = 0u; i < two; i++) {
  ${array}[${offset} + lane / 2u * ${stride}u + lane % 2u * 2u + i] =
    vec4f(${result}[i * 4u], ${result}[i * 4u + 1u], ${result}[i * 4u + 2u], ${result}[i * 4u + 3u]);
}`,
  reload: (result, array, offset, stride) => `for (var i = 0u; i < eight; i++) {
  ${result}[i] = ${array}[${offset} + lane / 2u * ${stride}u + lane % 2u * 2u + i / 4u][i % 4u];
}`,
};
