import { plan, type TiledOptions } from "./matrix-gemm-plan.ts";
import { int4Group, range, type WeightFormat } from "./product.ts";
import { lines } from "./wgsl.ts";

/** Row of the weight that a row of the tile's right operand holds. If gated, each subgroup has gate's columns, then up's. */
export function rightRowText(o: TiledOptions): string {
  if (!o.gated) return "";
  const mine = o.tile.outputs / o.tile.across;
  return `fn isUp(row: u32) -> bool { return row % ${mine}u >= ${mine / 2}u; }
fn rightRow(row: u32) -> u32 { return row / ${mine}u * ${mine / 2}u + row % ${mine / 2}u; }`;
}

export function declareSets(o: TiledOptions, set: number): string {
  const { leftItems, rightItems } = plan(o);
  const kind = { f32: "vec4f", f16: "vec4u", bf16: "vec4u", int8: "vec2u", int4: "u32" }[o.format];
  return [
    ...range(Math.ceil(leftItems)).map((i) =>
      o.input === "f32" ? `var l${set}_${i}a: vec4f; var l${set}_${i}b: vec4f;` : `var l${set}_${i}: vec4u;`,
    ),
    ...range(Math.ceil(rightItems)).map(
      (i) =>
        `var r${set}_${i}: ${kind};${o.format === "f32" ? ` var r${set}_${i}b: vec4f;` : ""}${o.format === "int4" ? ` var s${set}_${i}: u32;` : ""}`,
    ),
  ].join("\n");
}

/** A thread's items: row and column of eight values in each operand's tile, and where their rows begin in memory. */
export function addresses(o: TiledOptions): string {
  const { threads, perRow, leftItems, rightItems, paddedColumns } = plan(o);
  const guard = (items: number, i: number, most: number) =>
    items % 1 === 0 ? `(thread + ${i * threads}u)` : `min(thread + ${i * threads}u, ${most - 1}u)`;
  const unit = o.input === "f32" ? 4 : 8;
  const words = paddedColumns / 8; // items in a row of the weight
  return [
    ...range(Math.ceil(leftItems)).map((i) => {
      const item = guard(leftItems, i, o.tile.rows * perRow);
      return `let leftRow${i} = ${item} / ${perRow}u;
  let leftColumn${i} = ${item} % ${perRow}u;
  let leftFrom${i} = (sizes.inputFirst + min(firstRow + leftRow${i}, sizes.rows - 1u) * sizes.inputStride) / ${unit}u;`;
    }),
    ...range(Math.ceil(rightItems)).map((i) => {
      const item = guard(rightItems, i, o.tile.outputs * perRow);
      const row = o.gated ? `rightRow(tileRow${i})` : `tileRow${i}`;
      return `let tileRow${i} = ${item} / ${perRow}u;
  let rightColumn${i} = ${item} % ${perRow}u;
  let rightFrom${i} = min(firstColumn + ${row}, ${o.outputs - 1}u) * ${words}u;`;
    }),
  ].join("\n  ");
}

/**
 * Starts the loads of a step into a set of registers. Columns from K on are zeros on the left, and read nothing.
 * @param share of the tile's rows that are needed
 */
export function fetch(o: TiledOptions, set: number, step: string, share = 1): string {
  const { perRow, leftItems, rightItems, paddedColumns, steps } = plan(o);
  const exact = o.columns === steps * o.tile.depth;
  const left = range(Math.ceil(leftItems * share)).map((i) => {
    const item = `let column = ${step} * ${perRow}u + leftColumn${i};`;
    if (o.input === "f16") {
      const last = o.columns / 8;
      return exact
        ? `{ ${item} l${set}_${i} = input[leftFrom${i} + column]; }`
        : `{ ${item} l${set}_${i} = select(vec4u(), input[leftFrom${i} + min(column, ${last - 1}u)], column < ${last}u); }`;
    }
    const last = o.columns / 4;
    return exact
      ? `{ ${item} l${set}_${i}a = input[leftFrom${i} + column * 2u]; l${set}_${i}b = input[leftFrom${i} + column * 2u + 1u]; }`
      : `{ ${item} l${set}_${i}a = select(vec4f(), input[leftFrom${i} + min(column * 2u, ${last - 1}u)], column * 2u < ${last}u);
      l${set}_${i}b = select(vec4f(), input[leftFrom${i} + min(column * 2u + 1u, ${last - 1}u)], column * 2u + 1u < ${last}u); }`;
  });
  const inside = paddedColumns === steps * o.tile.depth;
  const right = range(Math.ceil(rightItems)).map((i) => {
    const column = `${step} * ${perRow}u + rightColumn${i}`;
    const at = `let at = rightFrom${i} + ${inside ? column : `min(${column}, ${paddedColumns / 8 - 1}u)`};`;
    const from = (name: string, scales: string) =>
      [
        o.format === "f32"
          ? `r${set}_${i} = bitcast<vec4f>(${name}[at * 2u]); r${set}_${i}b = bitcast<vec4f>(${name}[at * 2u + 1u]);`
          : `r${set}_${i} = ${name}[at];`,
        o.format === "int4"
          ? `s${set}_${i} = ${scales}[at / ${int4Group / 8}u / 2u] >> (at / ${int4Group / 8}u % 2u * 16u);`
          : "",
      ].join(" ");
    return o.gated
      ? `{ ${at} if (isUp(tileRow${i})) { ${from("up", "upScales")} } else { ${from("gate", "gateScales")} } }`
      : `{ ${at} ${from("weight", "scales")} }`;
  });
  return [...left, ...right].join("\n      ");
}

/**
 * The order of eight columns in the tiles: any order gives the same product if both operands have it. That of integers
 * is the one in which two of them become f16 at once.
 */
function columnPairs(format: WeightFormat): readonly (readonly [number, number])[] {
  if (format === "int4") return range(4).map((i) => [i, i + 4]);
  if (format === "int8") return [0, 4].flatMap((i) => [[i, i + 2] as const, [i + 1, i + 3] as const]);
  return range(4).map((i) => [2 * i, 2 * i + 1]);
}

function guarded(o: TiledOptions, items: number, i: number, tileItems: number, statement: string): string {
  const { threads } = plan(o);
  return items % 1 === 0 || (i + 1) * threads <= tileItems
    ? statement
    : `if (thread < ${tileItems - i * threads}u) { ${statement} }`;
}

/** Writes a set's left items to workgroup memory as f16, and keeps the largest magnitude seen. */
export function stageLeft(o: TiledOptions, set: number, base: string, share = 1): string {
  const { leftItems, perRow, stride } = plan(o);
  const pairs = columnPairs(o.format);
  return lines(Math.ceil(leftItems * share), (i) => {
    const name = `l${set}_${i}`;
    const float = (c: number) => `${name}${c < 4 ? "a" : "b"}.${"xyzw"[c % 4]}`;
    const half = (c: number, high: boolean) => {
      const word = `${name}.${"xyzw"[c >> 1]}`;
      if (high) return c % 2 === 1 ? `(${word} & 0xffff0000u)` : `(${word} << 16u)`;
      return c % 2 === 1 ? `(${word} >> 16u)` : `(${word} & 0xffffu)`;
    };
    const value =
      o.input === "f32"
        ? `vec4u(${pairs.map(([a, b]) => `pack2x16float(vec2f(${float(a)}, ${float(b)}))`).join(", ")})`
        : pairs[0][1] === 1
          ? name
          : `vec4u(${pairs.map(([a, b]) => `${half(a, false)} | ${half(b, true)}`).join(", ")})`;
    const see = o.input === "f32" ? `largest = max(largest, max(abs(${name}a), abs(${name}b)));` : "";
    return `${guarded(o, leftItems, i, o.tile.rows * perRow, `tiles[${base} + leftRow${i} * ${stride}u + leftColumn${i}] = ${value};`)} ${see}`;
  });
}

/** Writes a set's right items to workgroup memory as f16. */
export function stageRight(o: TiledOptions, set: number, base: string): string {
  const { rightItems, perRow, stride } = plan(o);
  return lines(Math.ceil(rightItems), (i) => {
    const statement = `{ ${rightValue(o.format, `r${set}_${i}`, `s${set}_${i}`)}
      tiles[${base} + tileRow${i} * ${stride}u + rightColumn${i}] = value; }`;
    return guarded(o, rightItems, i, o.tile.outputs * perRow, statement);
  });
}

/** `let value: vec4u`, eight f16 in the order of `columnPairs`. 0x6400 + n are the bits of the f16 number 1024 + n. */
function rightValue(format: WeightFormat, name: string, scale: string): string {
  switch (format) {
    case "f16":
      return `let value = ${name};`;
    case "f32":
      return `let value = vec4u(pack2x16float(${name}.xy), pack2x16float(${name}.zw), pack2x16float(${name}b.xy), pack2x16float(${name}b.zw));`;
    case "bf16":
      return `let low = bitcast<vec4f>(${name} << vec4u(16u));
      let high = bitcast<vec4f>(${name} & vec4u(0xffff0000u));
      let value = vec4u(${range(4)
        .map((i) => `pack2x16float(vec2f(low.${"xyzw"[i]}, high.${"xyzw"[i]}))`)
        .join(", ")});`;
    case "int8":
      return `let flipped = ${name} ^ vec2u(0x80808080u);
      let even = (flipped & vec2u(0x00ff00ffu)) | vec2u(0x64006400u);
      let odd = ((flipped >> vec2u(8u)) & vec2u(0x00ff00ffu)) | vec2u(0x64006400u);
      let value = vec4u(${["even.x", "odd.x", "even.y", "odd.y"]
        .map((word) => `bitcast<u32>(bitcast<vec2<f16>>(${word}) - vec2<f16>(1152.0h))`)
        .join(", ")});`;
    case "int4":
      return `let times = vec2<f16>(f16(bitcast<f32>(${scale} << 16u)));
      let shifted = ${name} >> 8u;
      let value = vec4u(${[
        [name, false],
        [name, true],
        ["shifted", false],
        ["shifted", true],
      ]
        .map(([word, high]) =>
          high
            ? `bitcast<u32>(fma(bitcast<vec2<f16>>((${word} & 0x00f000f0u) | 0x64006400u), vec2<f16>(0.0625h), vec2<f16>(-72.0h)) * times)`
            : `bitcast<u32>((bitcast<vec2<f16>>((${word} & 0x000f000fu) | 0x64006400u) - vec2<f16>(1032.0h)) * times)`,
        )
        .join(", ")});`;
  }
}
