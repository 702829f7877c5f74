import type { Kernel, Workgroups } from "../kernel.ts";
import { portableFlash, portableHalves, portableThreads } from "./portable-flash.ts";
import { tileBindings } from "./tile-attention.ts";

/**
 * Full attention inside each group of rows for every device: `Attention` of graph/operations.ts, f32. Bindings: see
 * `tileBindings`; strides, firsts and head sizes are multiples of 4. The workgroups of a group and head take its rows.
 */
export interface TileAttentionPortableOptions {
  readonly heads: number;
  readonly headSize: number;
  /** Whether q, k and v are columns of one storage, which is then bound once. */
  readonly together: boolean;
  /** Keys at a time. */
  readonly unroll: number;
  /** For software adapters: see `portableFlash`. */
  readonly rolled: boolean;
}

export function tileAttentionPortable(options: TileAttentionPortableOptions): Kernel {
  const { headSize, together, unroll, rolled } = options;
  const { kinds, declarations, names } = tileBindings(together, false);
  const halves = portableHalves(headSize);
  const first = (of: string) => `sizes.${of}First / 4u + head`;
  return {
    key: `tile-attention-portable ${JSON.stringify(options)}`,
    features: [],
    bindings: kinds,
    code: `${declarations}
@compute @workgroup_size(${portableThreads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
let item = workgroup.y * ${portableThreads}u + thread;
let row = item / ${halves}u;
let half = item % ${halves}u;
${portableFlash({
  headSize,
  unroll,
  rolled,
  begin: `if (row >= sizes.groupRows) { return; }
let count = sizes.groupRows;
let base = workgroup.z * count;
let head = workgroup.x * ${headSize / 4}u;
let origin = ${first("query")} + (base + row) * (sizes.queryStride / 4u);
let keyFirst = ${first("key")} + base * (sizes.keyStride / 4u);
let valueFirst = ${first("value")} + base * (sizes.valueStride / 4u);
let to = (base + row) * (sizes.outputStride / 4u) + head;`,
  queryAt: (i) => `${names.query}[origin + ${i}]`,
  place: (position) => position,
  keyAt: (place, i) => `${names.key}[keyFirst + ${place} * (sizes.keyStride / 4u) + ${i}]`,
  valueAt: (place, i) => `${names.value}[valueFirst + ${place} * (sizes.valueStride / 4u) + ${i}]`,
  store: (i, value) => `output[to + ${i}] = ${value};`,
})}
}
`,
  };
}

export function tileAttentionPortableWorkgroups(
  { heads, headSize }: TileAttentionPortableOptions,
  { groups, groupRows }: { groups: number; groupRows: number },
): Workgroups {
  return [heads, Math.ceil((groupRows * portableHalves(headSize)) / portableThreads), groups];
}
