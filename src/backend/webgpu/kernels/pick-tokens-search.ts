/**
 * Numbers and weights of the values with each digit, of those whose higher digits are `prefix`. Weights are summed as
 * whole numbers, in units of 2^-15 and 2^-30 and 2^-45 (a vocabulary has at most 2^17 tokens), so that a sum does not
 * depend on the order in which it was made.
 */
const weighDigits = `    atomicStore(&counts[lane], 0u);
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
    workgroupBarrier();`;

/** The digit, from the highest down, with which the wanted number or weight is reached; and what came before it. */
const findDigit = `    if (lane == 0u) {
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
    }`;

/** Of the values equal to the one found, as few as are wanted. */
const countEqual = `    if (shift == 0i) {
      var some = wantedCount - min(before, wantedCount);
      if (!byCount) {
        let weight = weightOf(prefix);
        some = u32(clamp(ceil((wanted - sum) / max(weight, 1e-37)), 0.0, f32(equal)));
        if (strict && sum + f32(some) * weight <= wanted) { some += 1u; }
      }
      return Place(prefix, before, clamp(some, 1u, equal), equal, sum);
    }`;

/**
 * `fn search(byCount, wantedCount, wanted, strict) -> Place`. Nothing is sorted: the place is found by counting, or
 * weighing, values by the digits of their keys, from the highest digit down. A value weighs e^((value - top) /
 * temperature). Needs the row's `keys` from `row0` on, `topValue` and `inverseTemperature`; all 256 invocations meet at
 * barriers.
 */
export const searchText = `fn weightOf(key: u32) -> f32 { return exp((valueOf(key) - topValue) * inverseTemperature); }

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
${weighDigits}
${findDigit}
    workgroupBarrier();
    prefix |= found[0] << u32(shift);
    before = found[1];
    sum = foundSum;
    let equal = found[2];
    workgroupBarrier();
${countEqual}
  }
  return Place();
}`;
