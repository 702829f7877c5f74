import type { Kernel, Workgroups } from "../kernel.ts";
import { keysText } from "./pick-tokens-keys.ts";
import { bestText } from "./pick-tokens-largest.ts";
import { reduction, uniformOf } from "./wgsl.ts";

/** A row's ids are shared out to workgroups in slices: few enough to be held in workgroup memory by `pickLists`. */
export const sliceIds = 2048;
/** Words of a slice's entry: largest (f32), sum (f32), NaN; then, by whichever kernel makes the keys, best key, best id. */
export const sliceWords = 8;

/** Bytes of all rows' slices, and of all their keys. */
export function pickScratchBytes(rows: number, vocabulary: number): { slices: number; keys: number } {
  return { slices: rows * Math.ceil(vocabulary / sliceIds) * sliceWords * 4, keys: rows * vocabulary * 4 };
}

/** Workgroups of `pickSlices` and `pickLists`: slices along x, rows along y. */
export function pickSliceWorkgroups(rows: number, vocabulary: number): Workgroups {
  return [Math.ceil(vocabulary / sliceIds), rows, 1];
}

/** `fn noteBest(best, at)`: writes a slice's best key and its id to its entry at `at`. */
export const noteBestText = `
fn noteBest(best: vec2u, at: u32) {
  slices[at + 3u] = best.x;
  slices[at + 4u] = best.y;
}`;

/**
 * 0 logits, as bits, `[B, V]` · 1 slices · with `keys` 2 keys · uniform. Workgroups: `pickSliceWorkgroups`.
 * @param keys whether it writes keys and bests as well: where there are no lists, `pickLists` is not needed
 */
export function pickSlicesKernel({ keys }: { keys: boolean }): Kernel {
  return {
    key: `pick slices${keys ? " with keys" : ""}`,
    code: `
@group(0) @binding(0) var<storage, read_write> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> slices: array<u32>;
${keys ? "@group(0) @binding(2) var<storage, read_write> keys: array<u32>;" : ""}
${uniformOf(["vocabulary", "logitsStride", "logitsFirst"], keys ? 3 : 2)}
${keysText}
${keys ? bestText + noteBestText : ""}
${reduction("largest", 256, (a, b) => `max(${a}, ${b})`)}
${reduction("total", 256, (a, b) => `${a} + ${b}`)}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let row = group.y * sizes.logitsStride + sizes.logitsFirst;
  let end = min((group.x + 1u) * ${sliceIds}u, sizes.vocabulary);
  var most = -3.4e38;
  var bad = 0.0;
  ${keys ? "var bestKey = 0u;\n  var bestId = noToken;" : ""}
  for (var id = group.x * ${sliceIds}u + lane; id < end; id += 256u) {
    let bits = logits[row + id];
    if (isNan(bits)) { bad = 1.0; }
    else if (bits != 0xff800000u) { most = max(most, bitcast<f32>(bits)); }
    ${
      keys
        ? `let key = keyOfBits(bits);
    keys[group.y * sizes.vocabulary + id] = key;
    if (key > bestKey) { bestKey = key; bestId = id; }`
        : ""
    }
  }
  let top = largest(most, lane);
  var sum = 0.0;
  for (var id = group.x * ${sliceIds}u + lane; id < end; id += 256u) {
    let bits = logits[row + id];
    if (!isNan(bits) && bits != 0xff800000u) { sum += exp(bitcast<f32>(bits) - top); }
  }
  let all = total(sum, lane);
  let anyBad = total(bad, lane);
  let at = (group.y * groups.x + group.x) * ${sliceWords}u;
  ${keys ? "let best = bestOf(vec2u(bestKey, bestId), lane);" : ""}
  if (lane == 0u) {
    ${keys ? "noteBest(best, at);" : ""}
    slices[at] = bitcast<u32>(top);
    slices[at + 1u] = bitcast<u32>(all);
    slices[at + 2u] = select(0u, 1u, anyBad > 0.0);
  }
}`,
    bindings: ["write", "write", ...(keys ? (["write"] as const) : []), "uniform"],
    features: [],
  };
}

/** What all slices of row `b` say together, to all 256 invocations: they meet at barriers. */
export const wholeRowText = `
struct Row { normaliser: f32, top: f32, bad: bool }
${reduction("highest", 256, (a, b) => `max(${a}, ${b})`)}
${reduction("added", 256, (a, b) => `${a} + ${b}`)}
fn wholeRow(b: u32, count: u32, lane: u32) -> Row {
  var most = -3.4e38;
  var bad = 0.0;
  for (var s = lane; s < count; s += 256u) {
    let at = (b * count + s) * ${sliceWords}u;
    most = max(most, bitcast<f32>(slices[at]));
    bad += f32(slices[at + 2u]);
  }
  let top = highest(most, lane);
  var sum = 0.0;
  for (var s = lane; s < count; s += 256u) {
    let at = (b * count + s) * ${sliceWords}u;
    sum += bitcast<f32>(slices[at + 1u]) * exp(bitcast<f32>(slices[at]) - top);
  }
  let all = added(sum, lane);
  return Row(top + log(all), top, added(bad, lane) > 0.0);
}`;
