import type { RopeDescription } from "../checkpoint/description.ts";

/** The angles of rotary position embedding, for every stretching that the family uses. */
export interface Rope {
  /**
   * Which set of frequencies a sequence of this length uses: keys cached under one set are of no use to another.
   */
  variant(length: number): string;
  /**
   * Writes `[cos₀ … cos_{d/2-1} | sin₀ … sin_{d/2-1}]` for a position of a sequence of `length` tokens.
   * @param out `[headSize]`
   */
  angles(position: number, length: number, out: Float32Array): void;
}

/**
 * - plain: inverse frequency i is `theta^(-2i/d)`.
 * - linear: positions are divided by the factor.
 * - dynamic (InternLM2's dynamic NTK): once a sequence is longer than M, theta becomes
 *   `theta · (factor · length / M - (factor - 1))^(d / (d - 2))`.
 * - longrope (Phi-3's "su"): inverse frequency i is divided by the short or, once a sequence is longer than M, the long
 *   factor i; cosine and sine are multiplied by the magnitude.
 *
 * The length that counts is the prompt's for the prompt's own tokens, and the running one for each new token, as when
 * the published code runs the prompt in one forward and then one token at a time.
 */
export function createRope(rope: RopeDescription, headSize: number): Rope {
  const half = headSize / 2;
  const magnitude = rope.kind === "longrope" ? rope.magnitude : 1;
  const cached = new Map<string, Float64Array>();

  const variant = (length: number): string => {
    if (rope.kind === "dynamic") return length > rope.originalLength ? `ntk ${length}` : "plain";
    if (rope.kind === "longrope") return length > rope.originalLength ? "long" : "short";
    return "plain";
  };

  const inverseFrequencies = (length: number): Float64Array => {
    let theta = rope.theta;
    let divisors: readonly number[] | undefined;
    if (rope.kind === "dynamic" && length > rope.originalLength) {
      const stretch = (rope.factor * length) / rope.originalLength - (rope.factor - 1);
      theta *= stretch ** (headSize / (headSize - 2));
    } else if (rope.kind === "longrope") {
      divisors = length > rope.originalLength ? rope.longFactors : rope.shortFactors;
    } else if (rope.kind === "linear") {
      divisors = new Array(half).fill(rope.factor);
    }
    return Float64Array.from(
      { length: half },
      (_, i) => theta ** ((-2 * i) / headSize) / (divisors?.[i] ?? 1),
    );
  };

  return {
    variant,
    angles(position, length, out) {
      const key = variant(length);
      let frequencies = cached.get(key);
      if (!frequencies) {
        // Beyond M every length has its own frequencies: keep only the latest.
        if (key.startsWith("ntk")) cached.clear();
        frequencies = inverseFrequencies(length);
        cached.set(key, frequencies);
      }
      for (let i = 0; i < half; i++) {
        const angle = position * frequencies[i];
        out[i] = Math.cos(angle) * magnitude;
        out[half + i] = Math.sin(angle) * magnitude;
      }
    },
  };
}
