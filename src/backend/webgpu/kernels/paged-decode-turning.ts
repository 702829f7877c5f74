import { attendText, type Rows } from "./paged-decode-rows.ts";
import { scatterText } from "./paged-decode-scatter.ts";
import { lines } from "./wgsl.ts";

export interface TurningOptions {
  readonly headSize: number;
  readonly keyValueHeads: number;
  readonly lanes: number;
  readonly width: number;
  readonly threads: number;
  /** Heads of one workgroup, and how many such share a key-value head. */
  readonly together: number;
  readonly parts: number;
  /** Query, key and value are columns of one matrix, bound once. */
  readonly shared: boolean;
  /** As in `PagedDecodeOptions`. */
  readonly scatter: boolean;
}

/** What the other texts need outside of functions. */
export function turningDeclarations({ headSize, together, shared }: TurningOptions): string {
  const columns = headSize / 4;
  return `/** The turned queries of this workgroup's heads. */
var<workgroup> queries: array<vec4f, ${together * columns}>;
/** Quarter c of the key at \`at\`, turned by the angles at \`turns\`. */
fn turnedKey(at: u32, turns: u32, c: u32) -> vec4f {
  let own = ${shared ? "query" : "key"}[at + c];
  let isFirst = c < ${columns / 2}u;
  let other = ${shared ? "query" : "key"}[select(at + c - ${columns / 2}u, at + c + ${columns / 2}u, isFirst)];
  let angle = turns + select(c - ${columns / 2}u, c, isFirst);
  let sine = angles[angle + ${columns / 2}u];
  return own * angles[angle] + other * select(sine, -sine, isFirst);
}`;
}

const roundsOf = ({ headSize, together, threads }: TurningOptions) => {
  const pairs = (together * headSize) / 8;
  return { pairs, rounds: Math.ceil(pairs / threads) };
};

/** Reads queries and angles: a quarter and its fellow of the other half for each invocation. */
export function queryReads(options: TurningOptions): string {
  const half = options.headSize / 8;
  const { pairs, rounds } = roundsOf(options);
  return `let turns = (sizes.anglesFirst + token * sizes.anglesStride) / 4u;
${lines(
  rounds,
  (r) => `let pair${r} = min(thread + ${r * options.threads}u, ${pairs - 1}u);
let read${r} = queryAt + pair${r} / ${half}u * ${2 * half}u + pair${r} % ${half}u;
let a${r} = query[read${r}];
let b${r} = query[read${r} + ${half}u];
let cosine${r} = angles[turns + pair${r} % ${half}u];
let sine${r} = angles[turns + ${half}u + pair${r} % ${half}u];`,
)}`;
}

/** Turns what `queryReads` has read into \`queries\`. */
export function queryTurns(options: TurningOptions): string {
  const half = options.headSize / 8;
  const { rounds } = roundsOf(options);
  return `${lines(
    rounds,
    (r) => `{
  let to = pair${r} / ${half}u * ${2 * half}u + pair${r} % ${half}u;
  queries[to] = a${r} * cosine${r} - b${r} * sine${r};
  queries[to + ${half}u] = b${r} * cosine${r} + a${r} * sine${r};
}`,
  )}
workgroupBarrier();`;
}

/**
 * The new tokens of the sequence, \`fresh\` to \`token\`: they are not in the cache yet, so their keys are turned here, and
 * rounded as the cache does. Each puts its own key and value there: in one workgroup for each key-value head. The last
 * split has the fewest other positions.
 */
export function newTokens(options: TurningOptions, rows: Rows): string {
  const { headSize, keyValueHeads, lanes, width, threads, together, parts, shared, scatter } = options;
  const { reads, pieces, words, columns } = rows;
  const groups = threads / lanes;
  const rowWords = (keyValueHeads * headSize) / words;
  return `if (split + 1u == sizes.splits) {
for (var n = fresh; n <= token; n += ${groups}u) {
  // Blocks without a row of their own have nothing to wait for.
  if (n + thread / ${width}u * ${width / lanes}u <= token) {
    let row = min(n + group, token);
    let counts = n + group <= token;
    let angle = (sizes.anglesFirst + row * sizes.anglesStride) / 4u;
    let keyAt = (sizes.keyFirst + row * sizes.keyStride) / 4u + keyValueHead * ${columns}u;
    let valueAt = (sizes.valueFirst + row * sizes.valueStride) / 4u + keyValueHead * ${columns}u;
    ${lines(
      pieces,
      (j) => `let k_${j} = turnedKey(keyAt, angle, ${rows.column(j)});
    let v_${j} = ${shared ? "query" : "value"}[valueAt + ${rows.column(j)}];`,
    )}
    ${lines(
      reads,
      (c) => `let newKey_${c} = ${rows.packed("k", c)};
    let newValue_${c} = ${rows.packed("v", c)};`,
    )}
    if (counts && row == token${parts > 1 ? ` && part == 0u` : ""}) {
      let to = slots[sizes.slotsFirst + token * sizes.slotsStride] * ${rowWords}u + keyValueHead * ${headSize / words}u + lane;
      ${lines(
        reads,
        (c) => `keys[to + ${c * lanes}u] = newKey_${c};
      values[to + ${c * lanes}u] = newValue_${c};`,
      )}
    }
    ${lines(
      pieces,
      (j) => `let key0_${j} = ${rows.unpacked("newKey", j)};
    let value0_${j} = ${rows.unpacked("newValue", j)};`,
    )}
    ${
      scatter
        ? scatterText(rows, options, 1, () => "counts")
        : lines(together, (h) => attendText(rows, lanes, h, 1, () => "counts"))
    }
  }
}
}`;
}
