import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { reduction, uniformOf } from "./wgsl.ts";

/**
 * `PickTokens` in three kernels. Values are compared as whole numbers (`keys`) that fall as the values fall, so that
 * infinities and NaN need no arithmetic of floats:
 *
 * 1. `pickSlices`: of each slice of a row of logits the largest, the sum of e^(logit - largest), and whether it has a NaN.
 * 2. `pickLists`: applies the two lists to each slice, writes the keys of all values, and the best of the slice.
 * 3. `pickFinish`: one workgroup a row chooses. Nothing is sorted: what the rules turn on is found by counting (or
 *    weighing) values by the digits of their keys, from the highest digit down.
 */
export const sliceIds = 2048;

/** Words of a slice's entry: largest (f32), sum (f32), NaN, best key, best id. */
const sliceWords = 8;

export function pickScratchBytes(rows: number, vocabulary: number): { slices: number; keys: number } {
  return { slices: rows * Math.ceil(vocabulary / sliceIds) * sliceWords * 4, keys: rows * vocabulary * 4 };
}

const helpers = `
const noToken = 0xffffffffu;
const lowest = 0x007fffffu; // the key of -∞
fn isNan(bits: u32) -> bool { return (bits & 0x7fffffffu) > 0x7f800000u; }
fn keyOf(value: f32) -> u32 {
  var bits = bitcast<u32>(value);
  if (bits == 0x80000000u) { bits = 0u; } // -0 equals 0
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}
fn bitsOf(key: u32) -> u32 { return select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u); }
fn valueOf(key: u32) -> f32 { return bitcast<f32>(bitsOf(key)); }`;

/** 0 logits, as bits, `[B, V]` · 1 slices · uniform. Workgroups: slices along x, rows along y. */
export function pickSlicesKernel(): Kernel {
  return {
    key: "pick slices",
    code: `
@group(0) @binding(0) var<storage, read_write> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> slices: array<u32>;
${uniformOf(["vocabulary", "logitsStride", "logitsFirst"], 2)}
${helpers}
${reduction("largest", 256, (a, b) => `max(${a}, ${b})`)}
${reduction("total", 256, (a, b) => `${a} + ${b}`)}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let row = group.y * sizes.logitsStride + sizes.logitsFirst;
  let end = min((group.x + 1u) * ${sliceIds}u, sizes.vocabulary);
  var most = -3.4e38;
  var bad = 0.0;
  for (var id = group.x * ${sliceIds}u + lane; id < end; id += 256u) {
    let bits = logits[row + id];
    if (isNan(bits)) { bad = 1.0; }
    else if (bits != 0xff800000u) { most = max(most, bitcast<f32>(bits)); }
  }
  let top = largest(most, lane);
  var sum = 0.0;
  for (var id = group.x * ${sliceIds}u + lane; id < end; id += 256u) {
    let bits = logits[row + id];
    if (!isNan(bits) && bits != 0xff800000u) { sum += exp(bitcast<f32>(bits) - top); }
  }
  let all = total(sum, lane);
  let anyBad = total(bad, lane);
  if (lane == 0u) {
    let at = (group.y * groups.x + group.x) * ${sliceWords}u;
    slices[at] = bitcast<u32>(top);
    slices[at + 1u] = bitcast<u32>(all);
    slices[at + 2u] = select(0u, 1u, anyBad > 0.0);
  }
}`,
    bindings: ["write", "write", "uniform"],
    features: [],
  };
}

/** What all slices of a row say together, to all 256 invocations: they meet at barriers. */
const wholeRow = `
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

/**
 * 0 logits · 1 settings f32 `[B, 6]` · then, where there are any, penalised and suppressed u32 `[B, any]` · slices · keys
 * `[B, V]` · uniform. Workgroups: slices along x, rows along y.
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
${helpers}
${wholeRow}
var<workgroup> own: array<u32, ${sliceIds}>;
var<workgroup> bestKeys: array<u32, 256>;
var<workgroup> bestIds: array<u32, 256>;

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
  bestKeys[lane] = bestKey;
  bestIds[lane] = bestId;
  workgroupBarrier();
  for (var width = 128u; width > 0u; width >>= 1u) {
    if (lane < width) { keepBetter(lane, lane + width); }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let at = (b * groups.x + group.x) * ${sliceWords}u;
    slices[at + 3u] = bestKeys[0];
    slices[at + 4u] = bestIds[0];
  }
}
fn keepBetter(a: u32, b: u32) {
  if (bestKeys[b] > bestKeys[a] || (bestKeys[b] == bestKeys[a] && bestIds[b] < bestIds[a])) {
    bestKeys[a] = bestKeys[b];
    bestIds[a] = bestIds[b];
  }
}`,
    bindings: [...new Array(binding).fill("write"), "uniform"],
    features: [],
  };
}

/**
 * 0 logits · 1 settings · 2 slices · 3 keys · 4 tokens u32 `[B, count]` · 5 scores f32 `[B, count]`, as bits · uniform.
 * One workgroup a row, along x.
 *
 * Weights e^((value - top) / temperature) are summed as whole numbers, in units of 2^-15 and 2^-30 and 2^-45 (a
 * vocabulary has at most 2^17 tokens), so that a sum does not depend on the order in which it was made.
 */
export function pickFinishKernel(): Kernel {
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
    key: "pick finish",
    code: `
@group(0) @binding(0) var<storage, read_write> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> settings: array<f32>;
@group(0) @binding(2) var<storage, read_write> slices: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> scores: array<u32>;
${uniformOf(fields, 6)}
${helpers}
${wholeRow}
const nan = 0x7fc00000u;
var<private> lane: u32;
var<private> row0: u32;
var<private> inverseTemperature: f32;
var<private> topValue: f32;

var<workgroup> bestKeys: array<u32, 256>;
var<workgroup> bestIds: array<u32, 256>;
/** The largest key of those that come after (key, id) in the order; and its id, the lowest of its equals. */
fn nextBest(afterKey: u32, afterId: u32) -> vec2u {
  var best = vec2u(0u, noToken);
  for (var id = lane; id < sizes.vocabulary; id += 256u) {
    let key = keys[row0 + id];
    let later = key < afterKey || (key == afterKey && (afterId != noToken && id > afterId));
    if (later && key > best.x) { best = vec2u(key, id); }
  }
  return bestOf(best);
}
/** The larger key of all invocations', the lower id among equals. */
fn bestOf(mine: vec2u) -> vec2u {
  bestKeys[lane] = mine.x;
  bestIds[lane] = mine.y;
  workgroupBarrier();
  for (var width = 128u; width > 0u; width >>= 1u) {
    if (lane < width) {
      let other = vec2u(bestKeys[lane + width], bestIds[lane + width]);
      if (other.x > bestKeys[lane] || (other.x == bestKeys[lane] && other.y < bestIds[lane])) {
        bestKeys[lane] = other.x;
        bestIds[lane] = other.y;
      }
    }
    workgroupBarrier();
  }
  let found = vec2u(bestKeys[0], bestIds[0]);
  workgroupBarrier();
  return found;
}

fn weightOf(key: u32) -> f32 { return exp((valueOf(key) - topValue) * inverseTemperature); }

var<workgroup> counts: array<atomic<u32>, 256>;
var<workgroup> high: array<atomic<u32>, 256>;
var<workgroup> middle: array<atomic<u32>, 256>;
var<workgroup> low: array<atomic<u32>, 256>;
var<workgroup> bucketWeights: array<f32, 256>;
var<workgroup> found: array<u32, 4>;
var<workgroup> foundSum: f32;

/** A place in the falling order of values: \`before\` keys larger than \`key\` weigh \`sum\`; of those equal, \`some\`. */
struct Place { key: u32, before: u32, some: u32, equal: u32, sum: f32 }

/**
 * Where the number of values reaches \`wantedCount\` (byCount), or their weight \`wanted\`: passes it (strict), or is at
 * least it. The last value where it never does.
 */
fn search(byCount: bool, wantedCount: u32, wanted: f32, strict: bool) -> Place {
  var prefix = 0u;
  var before = 0u;
  var sum = 0.0;
  for (var shift = 24i; shift >= 0i; shift -= 8i) {
    atomicStore(&counts[lane], 0u);
    atomicStore(&high[lane], 0u);
    atomicStore(&middle[lane], 0u);
    atomicStore(&low[lane], 0u);
    workgroupBarrier();
    for (var id = lane; id < sizes.vocabulary; id += 256u) {
      let key = keys[row0 + id];
      let matches = shift == 24i || (key >> u32(shift + 8i)) == (prefix >> u32(shift + 8i));
      if (!matches || key <= lowest) { continue; }
      let digit = (key >> u32(shift)) & 255u;
      atomicAdd(&counts[digit], 1u);
      var rest = weightOf(key) * 32768.0;
      let a = floor(rest);
      rest = (rest - a) * 32768.0;
      let b = floor(rest);
      rest = (rest - b) * 32768.0;
      atomicAdd(&high[digit], u32(a));
      atomicAdd(&middle[digit], u32(b));
      atomicAdd(&low[digit], u32(rest));
    }
    workgroupBarrier();
    bucketWeights[lane] = f32(atomicLoad(&high[lane])) / 32768.0 + f32(atomicLoad(&middle[lane])) / 1073741824.0
      + f32(atomicLoad(&low[lane])) / 35184372088832.0;
    workgroupBarrier();
    if (lane == 0u) {
      var digit = 255i;
      var last = 0i;
      var passedCount = before;
      var passedSum = sum;
      var lastCount = before;
      var lastSum = sum;
      var done = false;
      for (; digit >= 0i; digit--) {
        let here = atomicLoad(&counts[digit]);
        if (here == 0u) { continue; }
        last = digit;
        lastCount = passedCount;
        lastSum = passedSum;
        let reached = passedSum + bucketWeights[digit];
        done = select(select(reached >= wanted, reached > wanted, strict), passedCount + here >= wantedCount, byCount);
        if (done) { break; }
        passedCount += here;
        passedSum = reached;
      }
      found[0] = u32(last);
      found[1] = lastCount;
      found[2] = atomicLoad(&counts[last]);
      foundSum = lastSum;
    }
    workgroupBarrier();
    prefix |= found[0] << u32(shift);
    before = found[1];
    sum = foundSum;
    let equal = found[2];
    workgroupBarrier();
    if (shift == 0i) {
      var some = wantedCount - min(before, wantedCount);
      if (!byCount) {
        let weight = weightOf(prefix);
        some = u32(clamp(ceil((wanted - sum) / max(weight, 1e-37)), 0.0, f32(equal)));
        if (strict && sum + f32(some) * weight <= wanted) { some += 1u; }
      }
      return Place(prefix, before, clamp(some, 1u, equal), equal, sum);
    }
  }
  return Place();
}

var<workgroup> chunkCounts: array<u32, 256>;
/** The id of the \`nth\` (from 1) of the values with this key, in the order of ids. */
fn nthOf(key: u32, nth: u32) -> u32 {
  let chunk = (sizes.vocabulary + 255u) / 256u;
  let begin = lane * chunk;
  let end = min(begin + chunk, sizes.vocabulary);
  var mine = 0u;
  for (var id = begin; id < end; id++) { if (keys[row0 + id] == key) { mine++; } }
  chunkCounts[lane] = mine;
  workgroupBarrier();
  var passed = 0u;
  for (var i = 0u; i < lane; i++) { passed += chunkCounts[i]; }
  if (passed < nth && passed + mine >= nth) {
    for (var id = begin; id < end; id++) {
      if (keys[row0 + id] == key) {
        passed++;
        if (passed == nth) { found[3] = id; }
      }
    }
  }
  workgroupBarrier();
  let id = found[3];
  workgroupBarrier();
  return id;
}

fn weightTo(place: Place) -> f32 { return place.sum + f32(place.some) * weightOf(place.key); }
fn earlier(a: Place, b: Place) -> Place {
  if (a.before + a.some > b.before + b.some) { return b; }
  return a;
}

fn sample(topK: u32, topP: f32, draw: f32) -> u32 {
  var kept = search(true, select(topK, sizes.vocabulary, topK == 0u), 0.0, false);
  let enough = search(false, 0u, topP * weightTo(kept), false);
  if (topP < 1.0) { kept = earlier(enough, kept); }
  let drawn = earlier(search(false, 0u, draw * weightTo(kept), true), kept);
  return nthOf(drawn.key, drawn.some);
}

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
  let first = bestOf(mine);
  if (lane == 0u) { sharedBest = first; }
  let mode = workgroupUniformLoad(&sharedMode);
  let best = workgroupUniformLoad(&sharedBest);
  topValue = valueOf(best.x);
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

export function pickSliceWorkgroups(rows: number, vocabulary: number): Workgroups {
  return [Math.ceil(vocabulary / sliceIds), rows, 1];
}

export function pickFinishWorkgroups(rows: number): Workgroups {
  return foldWorkgroups(rows);
}
