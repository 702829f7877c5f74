import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { keysText } from "./pick-tokens-keys.ts";
import { bestText, largestText } from "./pick-tokens-largest.ts";
import { samplingText } from "./pick-tokens-sampling.ts";
import { searchText } from "./pick-tokens-search.ts";
import { sliceWords, wholeRowText } from "./pick-tokens-slices.wgsl.ts";
import { uniformOf } from "./wgsl.ts";

/** One a row. */
export function pickFinishWorkgroups(rows: number): Workgroups {
  return foldWorkgroups(rows);
}

/**
 * `PickTokens` in three kernels:
 *
 * 1. `pickSlices`: of each slice of a row of logits the largest, the sum of e^(logit - largest), and whether it has a NaN.
 * 2. `pickLists`: applies the two lists to each slice, writes the keys of all values, and the best of the slice. Where there
 *    are none, the first kernel writes those.
 * 3. `pickFinish`, this one: a workgroup chooses for a row.
 *
 * 0 logits · 1 settings · 2 slices · 3 keys · 4 tokens u32 `[B, count]` · 5 scores f32 `[B, count]`, as bits · uniform.
 * Workgroups: `pickFinishWorkgroups`.
 */
export function pickFinishKernel({ lists }: { lists: boolean }): Kernel {
  const fields = [
    "vocabulary",
    "slices",
    "count",
    "logitsStride",
    "logitsFirst",
    "settingsStride",
    "settingsFirst",
    "tokensStride",
    "tokensFirst",
    "scoresStride",
    "scoresFirst",
  ];
  return {
    key: `pick finish${lists ? "" : " without lists"}`,
    code: `
@group(0) @binding(0) var<storage, read_write> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> settings: array<f32>;
@group(0) @binding(2) var<storage, read_write> slices: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> scores: array<u32>;
${uniformOf(fields, 6)}
${keysText}
${wholeRowText}
const nan = 0x7fc00000u;
var<private> lane: u32;
var<private> row0: u32;
var<private> inverseTemperature: f32;
var<private> topValue: f32;
/** Beams are ranked by log-probability. With lists, keys are those of log-probabilities already. */
var<private> offset: f32;
fn keyAt(id: u32) -> u32 {
  let key = keys[row0 + id];
  ${lists ? "return key;" : "return select(keyOf(valueOf(key) - offset), lowest, key == lowest);"}
}

${bestText}
${largestText}

${searchText}

${samplingText}

const greedy = 0u;
const sampling = 1u;
const beams = 2u;
const damaged = 3u;
var<workgroup> sharedMode: u32;
var<workgroup> sharedBest: vec2u;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  lane = index;
  let b = group.x;
  row0 = b * sizes.vocabulary;
  let whole = wholeRow(b, sizes.slices, lane);
  let rules = b * sizes.settingsStride + sizes.settingsFirst;
  let temperature = settings[rules + 1u];
  if (lane == 0u) {
    sharedMode = select(select(select(sampling, greedy, temperature == 0.0), beams, settings[rules] != 0.0), damaged, whole.bad);
  }
  var mine = vec2u(0u, noToken);
  for (var s = lane; s < sizes.slices; s += 256u) {
    let at = (b * sizes.slices + s) * ${sliceWords}u;
    if (slices[at + 3u] > mine.x) { mine = vec2u(slices[at + 3u], slices[at + 4u]); }
  }
  let first = bestOf(mine, lane);
  if (lane == 0u) { sharedBest = first; }
  let mode = workgroupUniformLoad(&sharedMode);
  let best = workgroupUniformLoad(&sharedBest);
  topValue = valueOf(best.x);
  offset = whole.normaliser;
  inverseTemperature = min(1.0 / max(temperature, 1e-37), 1e30);
  var token = noToken;
  if (mode == greedy) {
    token = best.y;
  } else if (mode == sampling) {
    token = sample(u32(settings[rules + 2u]), settings[rules + 3u], settings[rules + 5u]);
  }
  let answer = b * sizes.tokensStride + sizes.tokensFirst;
  let score = b * sizes.scoresStride + sizes.scoresFirst;
  if (mode == beams) {
    var after = vec2u(0xffffffffu, noToken);
    for (var rank = 0u; rank < sizes.count; rank++) {
      after = nextBest(after.x, after.y);
      if (lane == 0u) {
        tokens[answer + rank] = after.y;
        scores[score + rank] = bitsOf(after.x);
      }
    }
    return;
  }
  for (var i = lane; i < sizes.count; i += 256u) {
    var bits = nan;
    if (i == 0u && mode != damaged) {
      let logit = bitcast<f32>(logits[b * sizes.logitsStride + sizes.logitsFirst + token]);
      bits = bitcast<u32>(logit - whole.normaliser);
    }
    tokens[answer + i] = select(noToken, token, i == 0u);
    scores[score + i] = bits;
  }
}`,
    bindings: ["write", "write", "write", "write", "write", "write", "uniform"],
    features: [],
  };
}
