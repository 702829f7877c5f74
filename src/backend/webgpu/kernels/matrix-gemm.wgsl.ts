import { foldWorkgroups, type Kernel, type Workgroups } from "../kernel.ts";
import { matrixUnits } from "./fragments.ts";
import { addresses, declareSets, rightRowText } from "./matrix-gemm-operands.ts";
import { type MatrixGemmOptions, plan, type Tile, type TiledOptions, wideTile } from "./matrix-gemm-plan.ts";
import { resultsText, scratchPlan, sumText } from "./matrix-gemm-results.ts";
import { stepsText } from "./matrix-gemm-steps.ts";
import { declare, epilogueKey, finishText, productBindings, productSizesText, range } from "./product.ts";
import { lines } from "./wgsl.ts";

/** Row blocks that share their columns' weights before the next columns' turn comes: what the L2 cache holds. */
const blockGroup = 16;

/** Workgroups for an input of so many rows. */
export function matrixGemmWorkgroups(options: MatrixGemmOptions, inputRows: number): Workgroups {
  const { tile = wideTile, outputs, gated } = options;
  const across = Math.ceil(outputs / (gated ? tile.outputs / 2 : tile.outputs));
  return foldWorkgroups(Math.ceil(inputRows / tile.rows) * across);
}

/**
 * Products on the matrix units, f16 operands, f32 sums: `Matmul`, `GatedMatmul`, for any number of rows. A workgroup
 * makes a tile of `rows` x `outputs` of the output; its subgroups stand `down` x `across` over the tile, `along` more of
 * them share out the columns of each step and are added at the end. Each step brings `depth` columns of both operands
 * into workgroup memory, as f16, while the next `ahead` steps are on their way in registers. Fragment rows are dealt out
 * to the subgroups in turn, so that where only the upper half of a tile is inside, all of them have half the work.
 *
 * Bindings: see `productBindings`, with `status` where the input is f32 or the output f16: set to 1 when a value of them
 * is too large for f16, the output is then not to be used. Input rows must lie at multiples of 4 elements (8 where they
 * are f16), and K must be such a multiple. bf16 weights must fit f16. Needs subgroups of 32.
 */
export function matrixGemm(options: MatrixGemmOptions): Kernel {
  const o = { tile: wideTile, fragments: matrixUnits, ...options };
  const { tile, fragments } = o;
  const words = { f32: "vec4u", f16: "vec4u", bf16: "vec4u", int8: "vec2u", int4: "u32" }[o.format];
  const halves = o.result === "f16";
  if (halves && !o.wide) throw new TypeError("a product in f16 is written four columns at a time");
  const bindings = productBindings(o, {
    input: o.input === "f32" ? "array<vec4f>" : "array<vec4u>",
    weight: `array<${words}>`,
    output: halves ? "array<vec2u>" : o.wide ? "array<vec4f>" : "array<f32>",
    element: o.wide ? "vec4f" : "f32",
    status: o.input === "f32" || halves,
  });
  const { rows, outputs, depth, down, across, along, ahead } = tile;
  return {
    key: [
      `matrixGemm ${o.columns}x${o.outputs} ${o.format} ${epilogueKey(o)} from ${o.input} to ${o.result ?? "f32"}${o.wide ? " wide" : ""} ${fragments.name}`,
      `${rows}x${outputs}x${depth} ${down}x${across}x${along} a${ahead}`,
    ].join(" "),
    code: `enable f16;
${fragments.enables}
${productSizesText}
${declare(bindings)}
${finishText(o, o)}
${body(o)}`,
    bindings: bindings.map(([, kind]) => kind),
    features: [...new Set<GPUFeatureName>(["shader-f16", ...fragments.features])],
    subgroupSize: 32,
  };
}

function body(o: TiledOptions): string {
  const { tile, fragments: f } = o;
  const p = plan(o);
  const { threads, stride } = p;
  const spread = along(tile);
  const results = range(p.fragmentsDown).flatMap((i) => range(p.fragmentsAcross).map((j) => `c${i}_${j}`));
  return `
// Left tiles, then right ones; when all steps are done, the results as the bits of their f32.
var<workgroup> tiles: array<vec4u, ${Math.max(p.tileWords, scratchPlan(o).words)}>;
${f.declarations(["tiles"])}
${rightRowText(o)}
${o.input === "f32" ? "fn most(values: vec4f) -> f32 { return max(max(values.x, values.y), max(values.z, values.w)); }" : ""}
${sumText(o)}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32${f.parameters ? `, ${f.parameters}` : ""}) {
  let place = sizes;
  ${f.prologue}
  let rowBlocks = (sizes.rows + ${tile.rows - 1}u) / ${tile.rows}u;
  const columnBlocks = ${Math.ceil(o.outputs / p.tileColumns)}u;
  let block = group.x + group.y * groups.x;
  if (block >= rowBlocks * columnBlocks) { return; }
  let firstBlock = block / (${blockGroup}u * columnBlocks) * ${blockGroup}u;
  let blocksDown = min(${blockGroup}u, rowBlocks - firstBlock);
  let within = block - firstBlock * columnBlocks;
  let firstRow = (firstBlock + within % blocksDown) * ${tile.rows}u;
  let firstColumn = within / blocksDown * ${p.tileColumns}u;
  let leftFragment = subgroup % ${tile.down}u * ${16 * stride}u${spread};
  let rightFragment = subgroup / ${tile.down}u % ${tile.across}u * ${(tile.outputs / tile.across) * stride}u${spread};
  ${o.input === "f32" ? "var largest = vec4f();" : ""}
  ${lines(tile.ahead, (set) => declareSets(o, set))}
  ${addresses(o)}
  ${lines(results.length, (i) => f.result(results[i]))}
  ${stepsText(o)}
  ${o.input === "f32" ? "if (most(largest) > 65504.0) { atomicStore(&status, 1u); }" : ""}
  ${resultsText(o)}
}`;
}

/** Where a subgroup's share of a step's columns begins. */
function along(tile: Tile): string {
  if (tile.along === 1) return "";
  return ` + subgroup / ${tile.down * tile.across}u * ${tile.depth / 8 / tile.along}u`;
}
