import type { Patches } from "../../../graph/operations.ts";
import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { float, uniformOf, workgroupNumber } from "./wgsl.ts";

/**
 * Normalised patch rows of tiles: see `Patches`. One workgroup a row.
 *
 * 0 tiles u8 `[T, S * S * 3]`, four a u32 · 1 output f32 `[T * (1 + g * g), 3 * P * P]` · uniform.
 */
export function patchesKernel(
  options: Pick<Patches, "tileSize" | "patchSize" | "mean" | "deviation">,
): Kernel {
  const { tileSize, patchSize, mean, deviation } = options;
  const side = tileSize / patchSize;
  const area = patchSize * patchSize;
  const vector = (values: readonly number[]) => `vec3f(${values.map(float).join(", ")})`;
  return {
    key: `patches ${tileSize} ${patchSize} ${[...mean, ...deviation].join(" ")}`,
    code: `
@group(0) @binding(0) var<storage, read_write> tiles: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
${uniformOf(["rows", "outputStride", "outputFirst"], 2)}
const tileRows = ${1 + side * side}u;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let row = ${workgroupNumber};
  if (row >= sizes.rows) { return; }
  let mean = ${vector(mean)};
  let deviation = ${vector(deviation)};
  let tile = row / tileRows;
  let patchNumber = row % tileRows;
  let write = row * sizes.outputStride + sizes.outputFirst;
  for (var i = lane; i < ${3 * area}u; i += 256u) {
    var value = 0.0;
    if (patchNumber > 0u) {
      let channel = i / ${area}u;
      let within = i % ${area}u;
      let y = (patchNumber - 1u) / ${side}u * ${patchSize}u + within / ${patchSize}u;
      let x = (patchNumber - 1u) % ${side}u * ${patchSize}u + within % ${patchSize}u;
      let byte = ((tile * ${tileSize}u + y) * ${tileSize}u + x) * 3u + channel;
      let pixel = f32((tiles[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xffu);
      value = (pixel / 255.0 - mean[channel]) / deviation[channel];
    }
    result[write + i] = value;
  }
}`,
    bindings: ["write", "write", "uniform"],
    features: [],
  };
}

export function patchesWorkgroups(rows: number): Workgroups {
  return foldWorkgroups(rows);
}
