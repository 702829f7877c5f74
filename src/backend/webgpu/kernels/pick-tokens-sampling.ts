/**
 * `fn sample(topK, topP, draw) -> u32`: the id at which the weights of the values kept, added up in falling order, pass
 * `draw` of their total. What is kept and what is drawn are both places in that order, see `searchText`.
 */
export const samplingText = `var<workgroup> chunkCounts: array<u32, 256>;
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
}`;
