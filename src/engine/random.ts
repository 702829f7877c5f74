/**
 * A uniform number in [0, 1) that depends only on its three arguments, so that what is sampled for one sequence does
 * not depend on what else runs beside it. The mixing is MurmurHash3's 32-bit finaliser over each word in turn.
 */
export function uniform(seed: number, sequence: number, step: number): number {
  let state = mix(seed >>> 0);
  for (const word of [Math.floor(seed / 2 ** 32), sequence, step]) {
    state = mix((Math.imul(state, 31) + word + 0x9e3779b9) | 0);
  }
  // f32 carries the draw to the device: 24 bits stay below 1 there.
  return (mix(state) >>> 8) / 2 ** 24;
}

function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
