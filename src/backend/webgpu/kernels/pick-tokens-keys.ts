/**
 * Values are compared as whole numbers (`keys`) that fall as the values fall, so that infinities and NaN need no
 * arithmetic of floats: WGSL promises neither.
 */
export const keysText = `
const noToken = 0xffffffffu;
const lowest = 0x007fffffu; // the key of -∞
fn isNan(bits: u32) -> bool { return (bits & 0x7fffffffu) > 0x7f800000u; }
fn keyOf(value: f32) -> u32 {
  var bits = bitcast<u32>(value);
  if (bits == 0x80000000u) { bits = 0u; } // -0 equals 0
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}
/** That of a value's bits; the compiler need not know of infinities. */
fn keyOfBits(bits: u32) -> u32 { return select(keyOf(bitcast<f32>(bits)), lowest, bits == 0xff800000u); }
fn bitsOf(key: u32) -> u32 { return select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u); }
fn valueOf(key: u32) -> f32 { return bitcast<f32>(bitsOf(key)); }`;
