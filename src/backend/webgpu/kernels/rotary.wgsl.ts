import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { uniformOf, workgroupNumber } from "./wgsl.ts";

export interface RotaryOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  /** d, even. */
  readonly headSize: number;
  /** "f16": two values a u32. */
  readonly cacheType: "f16" | "f32";
  /** q, k and v are columns of one matrix, bound once. */
  readonly shared: boolean;
}

/**
 * Turns q and k by their position's angles, and keeps k and v: see `Rotary`. One workgroup a row.
 *
 * 0 query [1 key 2 value] f32, then angles f32 `[N, d]`, slots u32 `[N]`, keys and values of the layer
 * `[pages * pageSize, keyValueHeads * d]` of `cacheType`, output f32 `[N, heads * d]`, uniform.
 */
export function rotaryKernel(options: RotaryOptions): Kernel {
  const { heads, keyValueHeads, headSize, cacheType, shared } = options;
  const half = headSize / 2;
  const [key, value] = shared ? ["query", "query"] : ["key", "value"];
  let binding = 0;
  const buffer = (name: string, type: string) =>
    `@group(0) @binding(${binding++}) var<storage, read_write> ${name}: array<${type}>;`;
  const cacheWord = cacheType === "f16" ? "u32" : "f32";
  // A thread turns columns i and i + d / 2; in an f16 cache it does so for i and i + 1, which share a word.
  const step = cacheType === "f16" ? 2 : 1;
  const stored = (cache: string, at: string, values: readonly string[]) =>
    cacheType === "f16"
      ? `${cache}[(${at}) >> 1u] = pack2x16float(vec2f(${values.join(", ")}));`
      : `${cache}[${at}] = ${values[0]};`;
  const lanes = Array.from({ length: step }, (_, i) => i);
  return {
    key: `rotary ${heads} ${keyValueHeads} ${headSize} ${cacheType} ${shared ? "shared" : "apart"}`,
    code: `
${buffer("query", "f32")}
${shared ? "" : buffer("key", "f32")}
${shared ? "" : buffer("value", "f32")}
${buffer("angles", "f32")}
${buffer("slots", "u32")}
${buffer("keys", cacheWord)}
${buffer("values", cacheWord)}
${buffer("result", "f32")}
${uniformOf(
  [
    "rows",
    "queryStride",
    "queryFirst",
    "keyStride",
    "keyFirst",
    "valueStride",
    "valueFirst",
    "anglesStride",
    "anglesFirst",
    "slotsStride",
    "slotsFirst",
    "outputStride",
    "outputFirst",
  ],
  binding++,
)}

fn turned(a: f32, b: f32, turn: vec2f) -> vec2f {
  return vec2f(a * turn.x - b * turn.y, b * turn.x + a * turn.y);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let n = ${workgroupNumber};
  if (n >= sizes.rows) { return; }
  let turns = n * sizes.anglesStride + sizes.anglesFirst;
  for (var i = lane; i < ${heads * half}u; i += 128u) {
    let head = i / ${half}u;
    let c = i % ${half}u;
    let read = n * sizes.queryStride + sizes.queryFirst + head * ${headSize}u + c;
    let to = n * sizes.outputStride + sizes.outputFirst + head * ${headSize}u + c;
    let pair = turned(query[read], query[read + ${half}u], vec2f(angles[turns + c], angles[turns + c + ${half}u]));
    result[to] = pair.x;
    result[to + ${half}u] = pair.y;
  }
  let kept = slots[n * sizes.slotsStride + sizes.slotsFirst] * ${keyValueHeads * headSize}u;
  for (var j = lane; j < ${(keyValueHeads * half) / step}u; j += 128u) {
    let i = j * ${step}u;
    let head = i / ${half}u;
    let c = i % ${half}u;
    let read = n * sizes.keyStride + sizes.keyFirst + head * ${headSize}u + c;
    let to = kept + head * ${headSize}u + c;
    ${lanes
      .map(
        (l) =>
          `let pair${l} = turned(${key}[read + ${l}u], ${key}[read + ${half + l}u], vec2f(angles[turns + c + ${l}u], angles[turns + c + ${half + l}u]));`,
      )
      .join("\n    ")}
    ${stored(
      "keys",
      "to",
      lanes.map((l) => `pair${l}.x`),
    )}
    ${stored(
      "keys",
      `to + ${half}u`,
      lanes.map((l) => `pair${l}.y`),
    )}
  }
  for (var j = lane; j < ${(keyValueHeads * headSize) / step}u; j += 128u) {
    let i = j * ${step}u;
    let read = n * sizes.valueStride + sizes.valueFirst + i;
    ${stored(
      "values",
      "kept + i",
      lanes.map((l) => `${value}[read + ${l}u]`),
    )}
  }
}`,
    bindings: [...new Array(binding - 1).fill("write"), "uniform"],
    features: [],
  };
}

export function rotaryWorkgroups(rows: number): Workgroups {
  return foldWorkgroups(rows);
}
