import type { Kernel, Workgroups } from "../kernel.ts";
import { type ResultType, writtenFunction } from "./half-output.ts";
import { type CacheType, pagedBindings } from "./paged-attention.ts";
import { type MergeOptions, mergeDeclarations, mergedBytes, mergeText } from "./paged-decode-merge.ts";
import { attendText, rowsOf } from "./paged-decode-rows.ts";
import { scatterDeclarations, scatteredBytes, scatterMerge, scatterText } from "./paged-decode-scatter.ts";
import {
  newTokens,
  queryReads,
  queryTurns,
  type TurningOptions,
  turningDeclarations,
} from "./paged-decode-turning.ts";
import { lines } from "./wgsl.ts";

/**
 * `PagedAttention` of graph/operations.ts for few new tokens a sequence: bound by reading keys and values once, so the
 * positions of a token are split over workgroups, and the heads that share a key-value head share each read of it
 * (split decoding, Dao et al. 2023). A workgroup takes every `splits`-th step of positions of one token, for `together`
 * heads of one key-value head. `lanes` invocations of a subgroup hold one row of the cache; each such group keeps its
 * own running maximum over every `groups`-th position, and the groups are merged at the end.
 *
 * With `turning`, `Rotary` is part of it: queries and new keys are turned here, and new keys and values put in the
 * cache. What is put there is not read here, so that no workgroup waits for another.
 *
 * Bindings: see `pagedBindings`, with `partial` `[N * heads * splits, headSize + 4]` f32: a split's weighted sum, its
 * maximum (of scores times log2(e)) and total. `pagedDecodeCombine` makes the output of it; with one split the output
 * is written at once and `partial` is not touched. An f16 output is only for one split: then `status` (set by an output
 * beyond f16) stands in the place of `partial`. Strides and firsts are multiples of 4.
 *
 * Limits: `width` and `lanes` are powers of two that no subgroup of the device is smaller than; `headSize` is a multiple
 * of 8 times `lanes` (f16) or 4 (f32), and of 8; at most 65535 new tokens.
 */
export interface PagedDecodeOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly pageSize: number;
  readonly cacheType: CacheType;
  /** Invocations that hold one row of the cache. */
  readonly lanes: number;
  /** Invocations that add up what they have by shuffles; as `lanes` unless told. */
  readonly width?: number;
  /** Positions that a group of lanes reads at a time. */
  readonly unroll: number;
  readonly threads: number;
  /** Heads of one workgroup: all that share a key-value head, unless told. */
  readonly together?: number;
  /** Whether to read one step ahead, at twice the registers for keys and values. */
  readonly ahead?: boolean;
  /** Whether each lane keeps the softmax of one head (paged-decode-scatter.ts): where `canScatter`. */
  readonly scatter?: boolean;
  /** Of the output; f32 unless told. "f16": one split only. */
  readonly result?: ResultType;
  /** Whether to turn and to keep as `Rotary` does; `shared` where query, key and value are columns of one matrix. */
  readonly turning?: { readonly shared: boolean };
}

export function pagedDecode(options: PagedDecodeOptions): Kernel {
  const { heads, keyValueHeads, headSize, pageSize, cacheType, lanes, unroll, threads } = options;
  const { width = lanes, ahead = false, scatter = false, result = "f32", turning } = options;
  const { together = heads / keyValueHeads } = options;
  const parts = heads / keyValueHeads / together;
  const half = result === "f16";
  const groups = threads / lanes;
  const rows = rowsOf({ headSize, cacheType, lanes });
  const { words, reads, pieces, columns } = rows;
  const merging: MergeOptions = { headSize, lanes, width, threads, together, half, heads };
  const turns: TurningOptions | undefined = turning && {
    ...{ headSize, keyValueHeads, lanes, width, threads, together, parts },
    ...{ shared: turning.shared, scatter },
  };
  const { kinds, declarations } = pagedBindings(cacheType, {
    partial: !half,
    status: half,
    result,
    turning,
  });
  const step = groups * unroll;

  // Where a page holds whole steps or whole groups of positions, all invocations look up the same pages.
  const lookups = pageSize % step === 0 ? 1 : unroll;
  const alike = pageSize % groups === 0;
  const page = (u: number, first: string) =>
    `pages[table + min((${first} + ${alike ? "" : "group + "}${u * groups}u) / ${pageSize}u, lastColumn)]`;
  const lookUp = (first: string) =>
    `${lines(lookups, (u) => `page${u} = ${page(u, first)};`)}${alike ? "" : `\nfirstPage = pages[table + min((${first}) / ${pageSize}u, lastColumn)];`}`;
  // Positions at or beyond the end are read as the first of the step, which is there, and count for nothing.
  const place = (u: number, first: string) => {
    const position = `(${first} + group + ${u * groups}u)`;
    const slot = `page${lookups === 1 ? 0 : u} * ${pageSize}u + ${position} % ${pageSize}u`;
    const instead = `${alike ? "page0" : "firstPage"} * ${pageSize}u + ${first} % ${pageSize}u`;
    return `select(${instead}, ${slot}, ${position} < old) * ${(keyValueHeads * headSize) / words}u + keyValueHead * ${headSize / words}u + lane`;
  };
  const each = (line: (tensor: string, u: number, c: number) => string) =>
    lines(unroll, (u) =>
      ["keys", "values"].map((tensor) => lines(reads, (c) => line(tensor, u, c))).join("\n"),
    );
  const read = (first: string) => `if (${first} < old) {
  ${lines(unroll, (u) => `let row${u} = ${place(u, first)};`)}
  ${each((tensor, u, c) => `${tensor}${u}_${c} = ${tensor}[row${u} + ${c * lanes}u];`)}
}`;
  const unpack = lines(unroll, (u) =>
    lines(
      pieces,
      (j) => `let key${u}_${j} = ${rows.unpacked(`keys${u}`, j)};
  let value${u}_${j} = ${rows.unpacked(`values${u}`, j)};`,
    ),
  );
  const attend = scatter
    ? scatterText(rows, merging, unroll, (u) => `first + group + ${u} * ${groups}u < old`)
    : lines(together, (h) =>
        attendText(rows, lanes, h, unroll, (u) => `first + group + ${u * groups}u < old`),
      );
  const following = `first + sizes.splits * ${step}u`;

  return {
    key: `paged-decode ${JSON.stringify(options)}`,
    features: ["subgroups"],
    bindings: kinds,
    code: `enable subgroups;
// The loop over positions is the same for the whole workgroup, which the compiler can not see.
diagnostic(off, subgroup_uniformity);
${declarations}
${scatter ? scatterDeclarations(merging) : mergeDeclarations(merging)}
${turns ? turningDeclarations(turns) : ""}
${writtenFunction(result, "status[0]")}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32${scatter ? ", @builtin(subgroup_invocation_id) place: u32" : ""}) {
${
  scatter
    ? `// The first lane of this row.
let firstLane = place - place % ${lanes}u;`
    : ""
}
let split = workgroup.x;
let keyValueHead = workgroup.y / ${parts}u;
let part = workgroup.y % ${parts}u;
let firstHead = workgroup.y * ${together}u;
let token = workgroup.z;
let lane = thread % ${lanes}u;
let group = thread / ${lanes}u;
let lastColumn = sizes.pagesPerSequence - 1u;
let queryAt = (sizes.queryFirst + token * sizes.queryStride) / 4u + firstHead * ${columns}u;
// Reads that wait for each other take the time of this kernel: so the sequence is guessed (where each has one new token,
// it is the token's own number), and its first pages are under way before its length is known.
var first = split * ${step}u;
var b = min(token, sizes.sequences - 1u);
var table = b * sizes.pagesPerSequence;
var fresh = starts[b];
var until = starts[b + 1u];
var length = lengths[b];
${lines(lookups, (u) => `var page${u} = 0u;`)}
${alike ? "" : "var firstPage = 0u;"}
${lookUp("first")}
${turns ? queryReads(turns) : ""}
if (fresh != token || until != token + 1u) {
  b = 0u;
  while (b + 1u < sizes.sequences && starts[b + 1u] <= token) { b++; }
  table = b * sizes.pagesPerSequence;
  fresh = starts[b];
  until = starts[b + 1u];
  length = lengths[b];
  ${lookUp("first")}
}
// Positions that are read from the cache.
let old = ${turns ? "length - (until - fresh)" : "length - (until - 1u - token)"};
${each((tensor, u, c) => `var ${tensor}${u}_${c} = ${cacheType === "f16" ? "vec4u()" : "vec4f()"};`)}
${read("first")}
${ahead ? lookUp(following) : ""}
${turns ? queryTurns(turns) : ""}
const factor = ${Math.LOG2E / Math.sqrt(headSize)};
${lines(together, (h) =>
  lines(
    pieces,
    (
      j,
    ) => `let q_${h}_${j} = ${turns ? `queries[` : `query[queryAt + `}${h * columns}u + ${rows.column(j)}] * factor;
var o_${h}_${j} = vec4f(0.0);`,
  ),
)}
${scatter ? "var largest = -1e29;\nvar total = 0.0;" : lines(together, (h) => `var largest_${h} = -1e29;\nvar total_${h} = 0.0;`)}
${turns ? newTokens(turns, rows) : ""}
while (first < old) {
  let next = ${following};
  ${ahead ? `${unpack}\n  ${read("next")}\n  ${lookUp(`next + sizes.splits * ${step}u`)}` : `${lookUp("next")}\n  ${unpack}`}
  ${attend}
  ${ahead ? "" : read("next")}
  first = next;
}
${scatter ? scatterMerge(merging, rows) : mergeText(merging, rows)}
}
`,
  };
}

/** Storage buffers that a kernel binds. */
export function pagedDecodeBindings({ turning }: Pick<PagedDecodeOptions, "turning">): number {
  return pagedBindings("f32", { partial: true, turning }).kinds.length - 1;
}

/** Bytes of workgroup memory that a kernel takes. */
export function pagedDecodeBytes(options: PagedDecodeOptions): number {
  const { heads, keyValueHeads, headSize, lanes, threads, turning } = options;
  const { width = lanes, together = heads / keyValueHeads } = options;
  const merging = { headSize, lanes, width, threads, together };
  const merged = options.scatter ? scatteredBytes(merging) : mergedBytes(merging);
  return merged + (turning ? together * headSize * 4 : 0);
}

export function pagedDecodeWorkgroups(
  { heads, keyValueHeads, together }: Pick<PagedDecodeOptions, "heads" | "keyValueHeads" | "together">,
  { rows, splits }: { rows: number; splits: number },
): Workgroups {
  return [splits, together ? heads / together : keyValueHeads, rows];
}
