import { quadName } from "./gemv-inputs.ts";
import type { GemvPlan } from "./gemv-plan.ts";
import { int4Group, range, weightsPerWord } from "./product.ts";
import { lines } from "./wgsl.ts";

/** `fn decode(word) -> ...`: a u32 of weights as floats; see `Decode`. */
export function decodeText({ format, decode }: GemvPlan): string {
  switch (format) {
    case "f32":
      return "";
    case "f16":
      return "fn decode(word: u32) -> vec2f { return unpack2x16float(word); }";
    case "bf16":
      return "fn decode(word: u32) -> vec2f { return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u)); }";
    case "int8":
      return {
        convert: "fn decode(word: u32) -> vec4f { return vec4f(unpack4xI8(word)); }",
        magic: `fn decode(word: u32) -> vec4f {
  let bits = vec4u(word, word >> 8u, word >> 16u, word >> 24u) & vec4u(0xffu);
  return bitcast<vec4f>((bits ^ vec4u(0x4b000080u))) - 8388736.0;
}`,
        half: `fn decode(word: u32) -> vec4f {
  let flipped = word ^ 0x80808080u;
  let even = unpack2x16float((flipped & 0x00ff00ffu) | 0x64006400u) - 1152.0;
  let odd = unpack2x16float(((flipped >> 8u) & 0x00ff00ffu) | 0x64006400u) - 1152.0;
  return vec4f(even.x, odd.x, even.y, odd.y);
}`,
        bits: "fn decode(word: u32) -> vec4f { return vec4f(unpack4xI8(word)); }",
      }[decode];
    case "int4":
      return {
        convert: `fn decode(word: u32) -> array<vec4f, 2> {
  let bytes = array<vec4f, 2>(vec4f(unpack4xU8(word & 0x0f0f0f0fu)) - 8.0, vec4f(unpack4xU8((word >> 4u) & 0x0f0f0f0fu)) - 8.0);
  return array<vec4f, 2>(vec4f(bytes[0].x, bytes[1].x, bytes[0].y, bytes[1].y), vec4f(bytes[0].z, bytes[1].z, bytes[0].w, bytes[1].w));
}`,
        magic: `fn decode(word: u32) -> array<vec4f, 2> {
  let one = vec4f(1.0, 0.0625, 0.00390625, 0.000244140625);
  let offset = vec4f(-8388616.0, -524296.0, -32776.0, -2056.0);
  let low = bitcast<vec4f>((vec4u(word) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u)) | vec4u(0x4b000000u));
  let high = bitcast<vec4f>((vec4u(word >> 16u) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u)) | vec4u(0x4b000000u));
  return array<vec4f, 2>(fma(low, one, offset), fma(high, one, offset));
}`,
        half: `fn decode(word: u32) -> array<vec4f, 2> {
  let a = unpack2x16float((word & 0x000f000fu) | 0x64006400u) - 1032.0;
  let b = fma(unpack2x16float((word & 0x00f000f0u) | 0x64006400u), vec2f(0.0625), vec2f(-72.0));
  let shifted = word >> 8u;
  let c = unpack2x16float((shifted & 0x000f000fu) | 0x64006400u) - 1032.0;
  let d = fma(unpack2x16float((shifted & 0x00f000f0u) | 0x64006400u), vec2f(0.0625), vec2f(-72.0));
  return array<vec4f, 2>(vec4f(a.x, b.x, c.x, d.x), vec4f(a.y, b.y, c.y, d.y));
}`,
        bits: `fn decode(word: u32) -> array<vec4f, 2> {
  const places = vec4u(0xf0000u, 0xf000u, 0xf0000u, 0xf000u);
  const exponents = vec4u(0x43000000u, 0x45000000u, 0x43000000u, 0x45000000u);
  let left = word << 8u;
  let right = word >> 8u;
  let low = (vec4u(word << 16u, left, left, word) & places) | exponents;
  let high = (vec4u(word, right, right, word >> 16u) & places) | exponents;
  return array<vec4f, 2>(bitcast<vec4f>(low), bitcast<vec4f>(high));
}`,
      }[decode];
  }
}

/** What "bits" makes the sums of chunk `u` too large by: see `Decode`. */
export function excess({ format, decode, rows, quads }: GemvPlan, u: number): string {
  if (format !== "int4" || decode !== "bits") return "";
  return lines(rows, (n) => {
    const sum = range(quads).map((q) => quadName(u, n, q));
    return `let excess${u}_${n} = dot(${sum.join(" + ")}, vec4f(136.0, 2056.0, 136.0, 2056.0));`;
  });
}

/** Adds chunk `u` of row `r` of weight `w`, times every input row, to the thread's sums. */
export function multiplyChunk(
  o: GemvPlan,
  { u, w, r }: { readonly u: number; readonly w: number; readonly r: number },
): string {
  const word = (i: number) => (o.words === 1 ? `w${u}_${w}_${r}` : `w${u}_${w}_${r}.${"xyzw"[i]}`);
  const sum = (n: number) => `sum${w}_${r}_${n}`;
  const perWord = weightsPerWord[o.format];
  const decoded =
    o.format === "f32"
      ? lines(o.words, (i) => `let d${i} = bitcast<f32>(${word(i)});`)
      : lines(o.words, (i) => `let d${i} = decode(${word(i)});`);
  const element = (c: number) => {
    const i = Math.floor(c / perWord);
    const j = c % perWord;
    if (o.format === "f32") return `d${i}`;
    return perWord === 8 ? `d${i}[${Math.floor(j / 4)}].${"xyzw"[j % 4]}` : `d${i}.${"xyzw"[j]}`;
  };
  const target = o.format === "int4" ? "group" : "";
  const chain = (n: number) =>
    lines(
      o.chunk,
      (c) =>
        `${target || sum(n)} = fma(${element(c)}, ${quadName(u, n, Math.floor(c / 4))}.${"xyzw"[c % 4]}, ${target || sum(n)});`,
    );
  if (o.format !== "int4") return `{\n${decoded}\n${lines(o.rows, chain)}\n}`;
  const shift = `select(0u, 16u, ((at${u} * ${o.chunk}u / ${int4Group}u) & 1u) == 0u)`;
  return `{
${decoded}
let groupScale = bitcast<f32>((s${u}_${w}_${r} << ${shift}) & 0xffff0000u);
${lines(o.rows, (n) => `{ var group = ${o.decode === "bits" ? `-excess${u}_${n}` : "0.0"};\n${chain(n)}\n${sum(n)} = fma(group, groupScale, ${sum(n)}); }`)}
}`;
}
