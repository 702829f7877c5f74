import type { Tensor } from "../../../graph/tensor.ts";
import { convertInput, convertInputWorkgroups } from "../kernels/convert-input.wgsl.ts";
import { gemv, gemvWorkgroups } from "../kernels/gemv.wgsl.ts";
import { matrixGemm, matrixGemmWorkgroups, type Tile } from "../kernels/matrix-gemm.wgsl.ts";
import { plainProduct, plainProductWorkgroups } from "../kernels/plain-product.wgsl.ts";
import { epilogueKey, type ProductOptions } from "../kernels/product.ts";
import { type Dispatch, type Lowering, type Place, status, statusWords } from "./dispatch.ts";
import type { Choice, Variant } from "./variant.ts";

/** One product with all that it reads and writes. */
export interface ProductCall {
  readonly input: Tensor;
  readonly output: Place;
  /** Values, then scales. */
  readonly weights: readonly Place[];
  /** What the epilogue reads. */
  readonly after: readonly Place[];
  /** The words of `productSizes`. */
  readonly sizes: readonly number[];
}

const mostGemvRows = 8;

/** The ways to compute a product on this device, the one that is likely best first. */
export function productVariants(options: ProductOptions, call: ProductCall, on: Lowering): Choice {
  const { columns, outputs, format } = options;
  const { rows } = call.input;
  const bucket = 2 ** Math.ceil(Math.log2(rows));
  return {
    name: `product ${columns}x${outputs} ${format} ${epilogueKey(options)} rows ${bucket}`,
    output: call.output,
    inputs: [on.place(call.input)],
    variants: [
      ...gemvVariants(options, call, on),
      ...matrixVariants(options, call, on),
      { name: "plain", build: () => [plain(options, call, on)] },
    ],
  };
}

function plain(options: ProductOptions, call: ProductCall, on: Lowering): Dispatch {
  return {
    kernel: plainProduct(options),
    places: [on.place(call.input), ...call.weights, ...call.after, call.output],
    sizes: [...call.sizes, options.columns, options.outputs],
    workgroups: plainProductWorkgroups(call.input.rows, options.outputs),
  };
}

/** Few rows, at the speed of memory. */
function gemvVariants(options: ProductOptions, call: ProductCall, on: Lowering): Variant[] {
  const { input } = call;
  const most = on.device.isSoftware ? 1 : mostGemvRows;
  if (input.rows > most || on.portable || !on.device.features.has("subgroups")) return [];
  const rows = 2 ** Math.ceil(Math.log2(input.rows));
  const aligned = isAligned(input, options.columns);
  const o = { ...options, rows, scalarInput: !aligned, threads: on.device.isSoftware ? 32 : 256 };
  return [
    {
      name: "gemv",
      build: () => [
        {
          kernel: gemv(o),
          places: [on.place(input), ...call.weights, ...call.after, call.output],
          sizes: call.sizes,
          workgroups: gemvWorkgroups(o),
        },
      ],
    },
  ];
}

/** Rows, outputs, columns a step, then subgroups down, across and along. */
type TileNumbers = readonly [number, number, number, number, number, number];

/** Tiles for up to so many rows. */
const tiles: readonly { readonly most: number; readonly tiles: readonly TileNumbers[] }[] = [
  { most: 16, tiles: [[16, 32, 256, 1, 1, 8]] },
  { most: 32, tiles: [[32, 32, 256, 1, 1, 8]] },
  { most: 64, tiles: [[64, 64, 64, 2, 2, 2]] },
  {
    most: Infinity,
    tiles: [
      [128, 256, 32, 2, 4, 1],
      [128, 128, 32, 2, 2, 1],
    ],
  },
];

/** Products on the matrix units, which round the input to f16: only where numbers may be rounded. */
function matrixVariants(options: ProductOptions, call: ProductCall, on: Lowering): Variant[] {
  const { columns, format } = options;
  const { input } = call;
  const exact = !on.mayRound || format === "f32" || format === "bf16";
  if (exact || input.rows < 2 || columns % 8 !== 0 || !isAligned(input, columns)) return [];
  const { tiles: fitting } = tiles.find(({ most }) => input.rows <= most)!;
  return fitting.map(([rows, outputs, depth, down, across, along]) => {
    const tile: Tile = { rows, outputs, depth, down, across, along, buffers: 1, ahead: 1 };
    return { name: `matrix ${rows}x${outputs}x${depth}`, build: () => matrix(options, call, tile, on) };
  });
}

function matrix(options: ProductOptions, call: ProductCall, tile: Tile, on: Lowering): Dispatch[] {
  const { columns } = options;
  const { input } = call;
  const halves = on.scratch(input.rows * columns * 2);
  const o = { ...options, input: "f16" as const, tile };
  const [rows, inputStride, inputFirst, ...rest] = call.sizes;
  return [
    {
      kernel: convertInput(columns),
      places: [on.place(input), halves, status(statusWords.overflow)],
      sizes: [rows, inputStride, inputFirst, columns],
      workgroups: convertInputWorkgroups(rows, columns),
    },
    {
      kernel: matrixGemm(o),
      places: [halves, ...call.weights, ...call.after, call.output],
      sizes: [rows, columns, 0, ...rest],
      workgroups: matrixGemmWorkgroups(o, rows),
    },
  ];
}

/** Whether rows of a tensor begin at multiples of four elements, and end at one. */
function isAligned({ storage, firstColumn }: Tensor, columns: number): boolean {
  return storage.columns % 4 === 0 && firstColumn % 4 === 0 && columns % 4 === 0;
}
