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

const threads = 32;

/**
 * Turns q and k by their position's angles, and keeps k and v: see `Rotary`. One workgroup for each head of a row's q, k and v.
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

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let item = ${workgroupNumber};
  let n = item / ${heads + 2 * keyValueHeads}u;
  if (n >= sizes.rows) { return; }
  let head = item % ${heads + 2 * keyValueHeads}u;
  let turns = n * sizes.anglesStride + sizes.anglesFirst;
  if (head < ${heads}u) {
    for (var c = lane; c < ${half}u; c += ${threads}u) {
      let read = n * sizes.queryStride + sizes.queryFirst + head * ${headSize}u + c;
      let to = n * sizes.outputStride + sizes.outputFirst + head * ${headSize}u + c;
      let pair = turned(query[read], query[read + ${half}u], vec2f(angles[turns + c], angles[turns + c + ${half}u]));
      result[to] = pair.x;
      result[to + ${half}u] = pair.y;
    }
    return;
  }
  let kept = slots[n * sizes.slotsStride + sizes.slotsFirst] * ${keyValueHeads * headSize}u;
  if (head < ${heads + keyValueHeads}u) {
    for (var c = lane * ${step}u; c < ${half}u; c += ${threads * step}u) {
      let read = n * sizes.keyStride + sizes.keyFirst + (head - ${heads}u) * ${headSize}u + c;
      let to = kept + (head - ${heads}u) * ${headSize}u + c;
      ${lanes
        .map(
          (l) =>
            `let pair${l} = turned(${key}[read + ${l}u], ${key}[read + ${half + l}u], vec2f(angles[turns + c + ${l}u], angles[turns + c + ${half + l}u]));`,
        )
        .join("\n      ")}
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
    return;
  }
  for (var c = lane * ${step}u; c < ${headSize}u; c += ${threads * step}u) {
    let column = (head - ${heads + keyValueHeads}u) * ${headSize}u + c;
    let read = n * sizes.valueStride + sizes.valueFirst + column;
    ${stored(
      "values",
      "kept + column",
      lanes.map((l) => `${value}[read + ${l}u]`),
    )}
  }
}`,
    bindings: [...new Array(binding - 1).fill("write"), "uniform"],
    features: [],
  };
}

export function rotaryWorkgroups(
  { heads, keyValueHeads }: Pick<RotaryOptions, "heads" | "keyValueHeads">,
  rows: number,
): Workgroups {
  return foldWorkgroups(rows * (heads + 2 * keyValueHeads));
}
