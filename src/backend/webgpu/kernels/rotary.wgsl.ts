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
  /** Whether d is a multiple of 8, strides and firsts multiples of 4: then four columns are read and written at once. */
  readonly wide?: boolean;
}

const threads = 32;
const wideThreads = 128;

const sizes = [
  "rows",
  ...["query", "key", "value", "angles", "slots", "output"].flatMap((name) => [
    `${name}Stride`,
    `${name}First`,
  ]),
];

/**
 * Turns q and k by their position's angles, and keeps k and v: see `Rotary`. One workgroup for each head of a row's q, k and v;
 * with `wide`, an invocation for every eight columns of them, as many heads and rows a workgroup as it takes.
 *
 * 0 query [1 key 2 value] f32, then angles f32 `[N, d]`, slots u32 `[N]`, keys and values of the layer
 * `[pages * pageSize, keyValueHeads * d]` of `cacheType`, output f32 `[N, heads * d]`, uniform.
 */
export function rotaryKernel(options: RotaryOptions): Kernel {
  if (options.wide) return wideRotaryKernel(options);
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
${uniformOf(sizes, binding++)}

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

/** An invocation has four columns of a head's first half and their fellows of the second. */
function wideRotaryKernel({ heads, keyValueHeads, headSize, cacheType, shared }: RotaryOptions): Kernel {
  if (headSize % 8 !== 0) throw new RangeError(`head size ${headSize} is not a multiple of 8`);
  const quarters = headSize / 8; // fours of columns in half a head
  const rowItems = (heads + 2 * keyValueHeads) * quarters;
  const [key, value] = shared ? ["query", "query"] : ["key", "value"];
  const cached = cacheType === "f16" ? "vec2u" : "vec4f";
  const kept = (four: string) =>
    cacheType === "f16" ? `vec2u(pack2x16float(${four}.xy), pack2x16float(${four}.zw))` : four;
  const buffers = [
    ["query", "vec4f"],
    ...(shared ? [] : [["key", "vec4f"] as const, ["value", "vec4f"] as const]),
    ["angles", "vec4f"],
    ["slots", "u32"],
    ["keys", cached],
    ["values", cached],
    ["result", "vec4f"],
  ] as const;
  const place = (tensor: string, head: string) =>
    `(n * sizes.${tensor}Stride + sizes.${tensor}First) / 4u + ${head} * ${2 * quarters}u + c`;
  return {
    key: `rotary ${heads} ${keyValueHeads} ${headSize} ${cacheType} ${shared ? "shared" : "apart"} wide`,
    code: `
${buffers.map(([name, type], i) => `@group(0) @binding(${i}) var<storage, read_write> ${name}: array<${type}>;`).join("\n")}
${uniformOf(sizes, buffers.length)}

@compute @workgroup_size(${wideThreads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let item = ${workgroupNumber} * ${wideThreads}u + lane;
  let n = item / ${rowItems}u;
  if (n >= sizes.rows) { return; }
  let head = item % ${rowItems}u / ${quarters}u;
  let c = item % ${quarters}u;
  let turns = (n * sizes.anglesStride + sizes.anglesFirst) / 4u + c;
  let cosine = angles[turns];
  let sine = angles[turns + ${quarters}u];
  if (head < ${heads}u) {
    let read = ${place("query", "head")};
    let a = query[read];
    let b = query[read + ${quarters}u];
    let to = ${place("output", "head")};
    result[to] = a * cosine - b * sine;
    result[to + ${quarters}u] = b * cosine + a * sine;
    return;
  }
  let slot = slots[n * sizes.slotsStride + sizes.slotsFirst] * ${2 * quarters * keyValueHeads}u + c;
  if (head < ${heads + keyValueHeads}u) {
    let own = head - ${heads}u;
    let read = ${place("key", "own")};
    let a = ${key}[read];
    let b = ${key}[read + ${quarters}u];
    let first = a * cosine - b * sine;
    let second = b * cosine + a * sine;
    let to = slot + own * ${2 * quarters}u;
    keys[to] = ${kept("first")};
    keys[to + ${quarters}u] = ${kept("second")};
    return;
  }
  let own = head - ${heads + keyValueHeads}u;
  let read = ${place("value", "own")};
  let first = ${value}[read];
  let second = ${value}[read + ${quarters}u];
  let to = slot + own * ${2 * quarters}u;
  values[to] = ${kept("first")};
  values[to + ${quarters}u] = ${kept("second")};
}`,
    bindings: [...buffers.map(() => "write" as const), "uniform"],
    features: [],
  };
}

type RotaryShape = Pick<RotaryOptions, "heads" | "keyValueHeads"> &
  ({ readonly wide?: false } | Pick<Required<RotaryOptions>, "wide" | "headSize">);

export function rotaryWorkgroups(shape: RotaryShape, rows: number): Workgroups {
  const heads = rows * (shape.heads + 2 * shape.keyValueHeads);
  return foldWorkgroups(shape.wide ? Math.ceil((heads * shape.headSize) / 8 / wideThreads) : heads);
}
