import type { CacheType } from "./paged-attention.ts";
import { lines } from "./wgsl.ts";

export interface RowOptions {
  readonly headSize: number;
  readonly cacheType: CacheType;
  /** Invocations that hold one row. */
  readonly lanes: number;
}

/** How `lanes` invocations hold one head's row of keys or values: `reads` words of 16 bytes, or `pieces` vec4f, each. */
export interface Rows {
  /** Elements of one word. */
  readonly words: number;
  readonly reads: number;
  readonly pieces: number;
  /** Quarters (vec4f) of a row. */
  readonly columns: number;
  /** The quarter of the row that piece j of `lane` is. */
  column(j: number): string;
  /** Piece j of words called `name_0`, `name_1`, … */
  unpacked(name: string, j: number): string;
  /** Word c of pieces called `name_0`, `name_1`, … */
  packed(name: string, c: number): string;
}

export function rowsOf({ headSize, cacheType, lanes }: RowOptions): Rows {
  const words = cacheType === "f16" ? 8 : 4;
  const reads = headSize / lanes / words;
  if (!Number.isInteger(reads))
    throw new RangeError(`${lanes} lanes can not share rows of ${headSize} ${cacheType}`);
  const parts = words / 4;
  return {
    words,
    reads,
    pieces: reads * parts,
    columns: headSize / 4,
    column: (j) => `(${Math.floor(j / parts) * lanes * parts + (j % parts)}u + lane * ${parts}u)`,
    unpacked(name, j) {
      const word = `${name}_${Math.floor(j / parts)}`;
      if (parts === 1) return word;
      const pair = j % 2 === 0 ? ["x", "y"] : ["z", "w"];
      return `vec4f(unpack2x16float(${word}.${pair[0]}), unpack2x16float(${word}.${pair[1]}))`;
    },
    packed(name, c) {
      if (parts === 1) return `${name}_${c}`;
      const pairs = [0, 1].flatMap((i) =>
        ["xy", "zw"].map((pair) => `pack2x16float(${name}_${parts * c + i}.${pair})`),
      );
      return `vec4u(${pairs.join(", ")})`;
    },
  };
}

/**
 * Takes rows into the running softmax of head h: `count` keys `keyU_J` and values `valueU_J` against its query `q_H_J`,
 * where `counts(u)` says whether row u is one. A group of lanes has one row for each u.
 */
export function attendText(
  { pieces }: Rows,
  lanes: number,
  h: number,
  count: number,
  counts: (u: number) => string,
): string {
  return `{
  ${lines(count, (u) => `var s${u} = ${Array.from({ length: pieces }, (_, j) => `dot(q_${h}_${j}, key${u}_${j})`).join(" + ")};`)}
  ${lines(Math.log2(lanes), (step) => lines(count, (u) => `s${u} += subgroupShuffleXor(s${u}, ${1 << step}u);`))}
  ${lines(count, (u) => `s${u} = select(-1e30, s${u}, ${counts(u)});`)}
  var top = largest_${h};
  ${lines(count, (u) => `top = max(top, s${u});`)}
  let shrink = exp2(largest_${h} - top);
  largest_${h} = top;
  ${lines(count, (u) => `s${u} = exp2(s${u} - top);`)}
  total_${h} = total_${h} * shrink + (${Array.from({ length: count }, (_, u) => `s${u}`).join(" + ")});
  ${lines(
    pieces,
    (j) =>
      `o_${h}_${j} = o_${h}_${j} * shrink + (${Array.from({ length: count }, (_, u) => `s${u} * value${u}_${j}`).join(" + ")});`,
  )}
}`;
}
