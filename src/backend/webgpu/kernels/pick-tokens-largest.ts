/** `fn bestOf(mine, lane)`: of all 256 invocations' keys and ids the best, to all of them; they meet at barriers. */
export const bestText = `
var<workgroup> bestKeys: array<u32, 256>;
var<workgroup> bestIds: array<u32, 256>;
/** The larger key of all invocations', the lower id among equals. */
fn bestOf(mine: vec2u, lane: u32) -> vec2u {
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
}`;

/**
 * `fn nextBest(afterKey, afterId)`: a key and its id, to all 256 invocations, which meet at barriers. Needs `keyAt(id)`
 * and `bestText`.
 */
export const largestText = `/** The largest key of those that come after (key, id) in the order; and its id, the lowest of its equals. */
fn nextBest(afterKey: u32, afterId: u32) -> vec2u {
  var best = vec2u(0u, noToken);
  for (var id = lane; id < sizes.vocabulary; id += 256u) {
    let key = keyAt(id);
    let later = key < afterKey || (key == afterKey && (afterId != noToken && id > afterId));
    if (later && key > best.x) { best = vec2u(key, id); }
  }
  return bestOf(best, lane);
}`;
