import type { Kernel } from "../kernel.ts";
import { keysText } from "./pick-tokens-keys.ts";
import { bestText } from "./pick-tokens-largest.ts";
import { noteBestText, sliceIds, sliceWords, wholeRowText } from "./pick-tokens-slices.wgsl.ts";
import { uniformOf } from "./wgsl.ts";

/**
 * 0 logits · 1 settings f32 `[B, 6]` · then, where there are any, penalised and suppressed u32 `[B, any]` · slices · keys
 * `[B, V]` · uniform. Workgroups: `pickSliceWorkgroups`.
 */
export function pickListsKernel(lists: { penalised: boolean; suppressed: boolean }): Kernel {
  let binding = 2;
  const list = (name: string) =>
    `@group(0) @binding(${binding++}) var<storage, read_write> ${name}: array<u32>;`;
  const walk = (name: string, act: string) => `
  for (var i = lane; i < sizes.${name}Columns; i += 256u) {
    let id = ${name}[b * sizes.${name}Stride + sizes.${name}First + i];
    if (id >= begin && id < end) { ${act} }
  }
  workgroupBarrier();`;
  const declared = `
${lists.penalised ? list("penalised") : ""}
${lists.suppressed ? list("suppressed") : ""}
@group(0) @binding(${binding++}) var<storage, read_write> slices: array<u32>;
@group(0) @binding(${binding++}) var<storage, read_write> keys: array<u32>;`;
  const fields = [
    "vocabulary",
    "logitsStride",
    "logitsFirst",
    "settingsStride",
    "settingsFirst",
    "penalisedColumns",
    "penalisedStride",
    "penalisedFirst",
    "suppressedColumns",
    "suppressedStride",
    "suppressedFirst",
  ];
  return {
    key: `pick lists ${lists.penalised ? "penalised" : ""} ${lists.suppressed ? "suppressed" : ""}`,
    code: `
@group(0) @binding(0) var<storage, read_write> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> settings: array<f32>;
${declared}
${uniformOf(fields, binding)}
${keysText}
${wholeRowText}
var<workgroup> own: array<u32, ${sliceIds}>;
${bestText}
${noteBestText}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let b = group.y;
  let row = b * sizes.logitsStride + sizes.logitsFirst;
  let rules = b * sizes.settingsStride + sizes.settingsFirst;
  let begin = group.x * ${sliceIds}u;
  let end = min(begin + ${sliceIds}u, sizes.vocabulary);
  // Beams are ranked by log-probability, and the lists apply to that; samples go by the logits themselves.
  let whole = wholeRow(b, groups.x, lane);
  let offset = select(0.0, whole.normaliser, settings[rules] != 0.0);
  let penalty = settings[rules + 4u];
  for (var id = begin + lane; id < end; id += 256u) {
    let bits = logits[row + id];
    own[id - begin] = select(keyOf(bitcast<f32>(bits) - offset), lowest, bits == 0xff800000u);
  }
  workgroupBarrier();
  ${
    lists.penalised
      ? walk(
          "penalised",
          `let bits = logits[row + id];
      if (bits != 0xff800000u) {
        let value = bitcast<f32>(bits) - offset;
        own[id - begin] = keyOf(select(value * penalty, value / penalty, value > 0.0));
      }`,
        )
      : ""
  }
  ${lists.suppressed ? walk("suppressed", "own[id - begin] = lowest;") : ""}
  var bestKey = 0u;
  var bestId = noToken;
  for (var id = begin + lane; id < end; id += 256u) {
    let key = own[id - begin];
    keys[b * sizes.vocabulary + id] = key;
    if (key > bestKey) { bestKey = key; bestId = id; }
  }
  let best = bestOf(vec2u(bestKey, bestId), lane);
  if (lane == 0u) { noteBest(best, (b * groups.x + group.x) * ${sliceWords}u); }
}`,
    bindings: [...new Array(binding).fill("write"), "uniform"],
    features: [],
  };
}
