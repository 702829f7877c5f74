import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { uniformOf, workgroupNumber } from "./wgsl.ts";

/**
 * `output[n] = table[ids[n]]`, for the ids that fall into this part of the table; others are left alone. An id beyond
 * the whole table sets `status`.
 *
 * 0 table `[partRows, columns]` of `format`, two 16-bit values a u32 · 1 ids u32 `[N]` · 2 output f32 `[N, columns]` ·
 * 3 status · uniform. A row of the table is `columns` values, rounded up to an even number.
 */
export function embedKernel(columns: number, format: "bf16" | "f16" | "f32"): Kernel {
  const value = {
    f32: "bitcast<f32>(table[row * columns + c])",
    bf16: "bitcast<f32>(select(word << 16u, word & 0xffff0000u, (c & 1u) == 1u))",
    f16: "select(unpack2x16float(word).x, unpack2x16float(word).y, (c & 1u) == 1u)",
  }[format];
  const rowWords = Math.ceil(columns / 2);
  return {
    key: `embed ${columns} ${format}`,
    code: `
@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(0) @binding(3) var<storage, read_write> status: array<atomic<u32>>;
${uniformOf(["rows", "idStride", "idFirst", "outputStride", "outputFirst", "firstRow", "partRows", "tableRows"], 4)}
const columns = ${columns}u;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let n = ${workgroupNumber};
  if (n >= sizes.rows) { return; }
  let id = ids[n * sizes.idStride + sizes.idFirst];
  if (id >= sizes.tableRows) { atomicStore(&status[0], 1u); return; }
  if (id < sizes.firstRow || id - sizes.firstRow >= sizes.partRows) { return; }
  let row = id - sizes.firstRow;
  for (var c = lane; c < columns; c += 256u) {
    ${format === "f32" ? "" : `let word = table[row * ${rowWords}u + (c >> 1u)];`}
    result[n * sizes.outputStride + sizes.outputFirst + c] = ${value};
  }
}`,
    bindings: ["read", "write", "write", "write", "uniform"],
    features: [],
  };
}

export function embedWorkgroups(rows: number): Workgroups {
  return foldWorkgroups(rows);
}
