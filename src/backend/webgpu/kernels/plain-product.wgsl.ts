import type { Kernel, Workgroups } from "../kernel.ts";
import {
  declare,
  epilogueKey,
  finishText,
  int4Group,
  type ProductOptions,
  productBindings,
  productSizes,
  range,
  type WeightFormat,
} from "./product.ts";

/** Rows and outputs of one invocation. */
const block = 2;
/** Invocations of a workgroup along either. */
const side = 8;

/**
 * Products of any number of rows, for every device: `Matmul`, `GatedMatmul`. Each invocation makes 2 x 2 outputs in
 * registers and waits for no other: what software adapters, whose barriers are slow, run best. K and M come in the
 * uniform, after `productSizes`: software adapters also compile slowly, and one kernel does for all shapes.
 *
 * Bindings: see `productBindings`.
 */
export function plainProduct(options: ProductOptions): Kernel {
  const { columns, outputs, format, gated, epilogue } = options;
  const bindings = productBindings(options, { input: "array<f32>", weight: "array<vec4u>" });
  const weights = gated ? ["gate", "up"] : ["weight"];
  const scales = gated ? ["gateScales", "upScales"] : ["scales"];
  const whole = columns % 4 === 0;
  const input = (j: number) =>
    whole ? `input[at + ${j}u]` : `select(0.0, input[at + ${j}u], k4 * 4u + ${j}u < sizes.columns)`;
  const each = (text: (i: number) => string) => range(block).map(text).join("\n    ");
  const outputText = gated ? "silu(sum0[r][c]) * sum1[r][c]" : "finish(n, m, sum0[r][c], residualAt(n, m))";
  const shape = epilogue?.table ? ` ${outputs}` : "";
  return {
    key: `plain product ${format} ${epilogueKey(options)}${whole ? "" : " ragged"}${shape}`,
    code: `struct Sizes { ${[...productSizes, "columns", "outputs"].map((name) => `${name}: u32`).join(", ")} }
${declare(bindings)}
${weights.map((name, w) => readFour(name, scales[w], format)).join("\n")}
${finishText(options)}

fn inputFour(start: u32, k4: u32) -> vec4f {
  let at = start + k4 * 4u;
  return vec4f(${range(4).map(input).join(", ")});
}

@compute @workgroup_size(${side}, ${side})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let m0 = id.x * ${block}u;
  let n0 = (id.y + id.z * ${mostAlongY * side}u) * ${block}u;
  if (m0 >= sizes.outputs || n0 >= sizes.rows) { return; }
  ${weights.map((_, w) => `var sum${w}: mat2x2f;`).join("\n  ")}
  ${each((r) => `let start${r} = sizes.inputFirst + min(n0 + ${r}u, sizes.rows - 1u) * sizes.inputStride;`)}
  ${each((c) => `let row${c} = min(m0 + ${c}u, sizes.outputs - 1u);`)}
  let padded = (sizes.columns + 63u) / 64u * 64u;
  for (var k4 = 0u; k4 < (sizes.columns + 3u) / 4u; k4++) {
    ${each((r) => `let x${r} = inputFour(start${r}, k4);`)}
    ${weights
      .map((name, w) =>
        each(
          (c) => `let y${w}${c} = ${name}4(row${c}, k4, padded);
    ${range(block)
      .map((r) => `sum${w}[${r}][${c}] += dot(x${r}, y${w}${c});`)
      .join("\n    ")}`,
        ),
      )
      .join("\n    ")}
  }
  for (var r = 0u; r < ${block}u; r++) {
    for (var c = 0u; c < ${block}u; c++) {
      let n = n0 + r;
      let m = m0 + c;
      if (n < sizes.rows && m < sizes.outputs) {
        output[sizes.outputFirst + n * sizes.outputStride + sizes.firstRow + m] = ${outputText};
      }
    }
  }
}`,
    bindings: bindings.map(([, kind]) => kind),
    features: [],
  };
}

const mostAlongY = 16384;

export function plainProductWorkgroups(rows: number, outputs: number): Workgroups {
  const y = Math.ceil(rows / (side * block));
  return [Math.ceil(outputs / (side * block)), Math.min(y, mostAlongY), Math.ceil(y / mostAlongY)];
}

/** `fn NAME4(row, k4, padded) -> vec4f`: values 4 · k4 … 4 · k4 + 3 of a row of the weight NAME, an array<vec4u>. */
function readFour(name: string, scales: string, format: WeightFormat): string {
  const body = {
    f32: `return bitcast<vec4f>(${name}[row * (padded / 4u) + k4]);`,
    bf16: `let q = ${name}[row * (padded / 8u) + (k4 >> 1u)];
  let pair = select(q.xy, q.zw, (k4 & 1u) == 1u);
  return bitcast<vec4f>(vec4u(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));`,
    f16: `let q = ${name}[row * (padded / 8u) + (k4 >> 1u)];
  let pair = select(q.xy, q.zw, (k4 & 1u) == 1u);
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));`,
    int8: `let word = ${name}[row * (padded / 16u) + (k4 >> 2u)][k4 & 3u];
  let four = bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u);
  return ${scales}[row] * vec4f(four);`,
    int4: `let word = ${name}[row * (padded / 32u) + (k4 >> 3u)][(k4 >> 1u) & 3u] >> ((k4 & 1u) * 16u);
  let four = vec4f((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u)) - 8.0;
  let number = row * (padded / ${int4Group}u) + (k4 >> 3u);
  let both = ${scales}[number >> 1u];
  return bitcast<f32>(select(both << 16u, both & 0xffff0000u, (number & 1u) == 1u)) * four;`,
  }[format];
  return `fn ${name}4(row: u32, k4: u32, padded: u32) -> vec4f {
  ${body}
}`;
}
