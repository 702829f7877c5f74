import type { RmsNorm } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { convertInput, convertInputWorkgroups } from "../kernels/convert-input.wgsl.ts";
import { type GemvOptions, gemv, gemvWorkgroups } from "../kernels/gemv.wgsl.ts";
import { matrixGemm, matrixGemmWorkgroups, type Tile } from "../kernels/matrix-gemm.wgsl.ts";
import { padInput, padInputWorkgroups } from "../kernels/pad-input.wgsl.ts";
import { plainProduct, plainProductWorkgroups } from "../kernels/plain-product.wgsl.ts";
import { epilogueKey, type ProductOptions, weightLayout } from "../kernels/product.ts";
import { gemvSharings, matrixTiles } from "../kernels/product-tiles.ts";
import { type Dispatch, type Lowering, type Place, status, statusWords, strides } from "./dispatch.ts";
import { lowerNorm } from "./norms.ts";
import { remembered } from "./remembered.ts";
import type { Choice, Variant } from "./variant.ts";

/** One product with all that it reads and writes. */
export interface ProductCall {
  /** What makes the input, where that may be part of the product. */
  readonly norm?: RmsNorm;
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
const gemvOf = remembered(gemv);
const matrixGemmOf = remembered(matrixGemm);
const plainOf = remembered(plainProduct);
const convertInputOf = remembered(convertInput);
const padInputOf = remembered(padInput);

/** The ways to compute a product on this device, the one that is likely best first. */
export function productVariants(options: ProductOptions, call: ProductCall, on: Lowering): Choice {
  const { columns, outputs, format } = options;
  const { rows } = call.input;
  const bucket = 2 ** Math.ceil(Math.log2(rows));
  const { norm } = call;
  const alone: Variant[] = [
    ...gemvVariants(options, call, on),
    ...matrixVariants(options, call, on),
    { name: "plain", build: () => [plain(options, call, on)] },
  ];
  const after = (variant: Variant): Variant =>
    norm ? { ...variant, build: () => [...lowerNorm(norm, on), ...variant.build()] } : variant;
  const name = `product ${columns}x${outputs} ${format} ${epilogueKey(options)} rows ${bucket}`;
  return {
    name: norm ? `norm and ${name}` : name,
    output: call.output,
    variants: [...(norm ? fusedVariants(options, call, norm, on) : []), ...alone.map(after)],
  };
}

function plain(options: ProductOptions, call: ProductCall, on: Lowering): Dispatch {
  return {
    kernel: plainOf(options),
    places: [on.place(call.input), ...call.weights, ...call.after, call.output],
    sizes: [...call.sizes, options.columns, options.outputs],
    workgroups: plainProductWorkgroups(call.input.rows, options.outputs),
  };
}

/** Few rows, at the speed of memory. */
function gemvVariants(options: ProductOptions, call: ProductCall, on: Lowering): Variant[] {
  const { input } = call;
  const kernels = gemvKernels(options, input, on);
  const places = [on.place(input), ...call.weights, ...call.after, call.output];
  return kernels.map(({ name, o }) => ({
    name,
    build: () => [{ kernel: gemvOf(o), places, sizes: call.sizes, workgroups: gemvWorkgroups(o) }],
  }));
}

/** The same with the norm of its input inside. */
function fusedVariants(options: ProductOptions, call: ProductCall, norm: RmsNorm, on: Lowering): Variant[] {
  const { input, weight, epsilon } = norm;
  // The planner knows that the norm reads its input, not that the product does: that may write there.
  if (overlap(on.place(input), call.output)) return [];
  const [rows, , , ...rest] = call.sizes;
  const places = [on.place(input), ...call.weights, on.vector(weight), ...call.after, call.output];
  const sizes = [rows, ...strides(input), ...rest];
  return gemvKernels(options, input, on).map(({ name, o }) => {
    const fused = { ...o, normalise: { epsilon } };
    return {
      name: `${name} with norm`,
      build: () => [{ kernel: gemvOf(fused), places, sizes, workgroups: gemvWorkgroups(fused) }],
    };
  });
}

function gemvKernels(
  options: ProductOptions,
  input: Tensor,
  on: Lowering,
): { name: string; o: GemvOptions }[] {
  const most = on.device.isSoftware ? 1 : mostGemvRows;
  if (input.rows > most || on.portable || !on.device.features.has("subgroups")) return [];
  const rows = 2 ** Math.ceil(Math.log2(input.rows));
  const scalarInput = !isAligned(input, options.columns);
  if (on.device.isSoftware) return [{ name: "gemv", o: { ...options, rows, scalarInput, threads: 32 } }];
  return gemvSharings[options.format].map((sharing) => {
    const name = ["gemv", ...Object.entries(sharing).map(([key, value]) => `${key} ${value}`)].join(" ");
    return { name, o: { ...options, rows, scalarInput, ...sharing } };
  });
}

/** Products on the matrix units, which round the input to f16: only where numbers may be rounded. */
function matrixVariants(options: ProductOptions, call: ProductCall, on: Lowering): Variant[] {
  const { format } = options;
  const { input } = call;
  const exact = !on.mayRound || format === "f32" || format === "bf16";
  if (exact || input.rows < 2) return [];
  return matrixTiles(input.rows).map((tile) => ({
    name: `matrix ${Object.values(tile).join(" ")}`,
    rounds: true,
    build: () => matrix(options, call, tile, on),
  }));
}

function matrix(options: ProductOptions, call: ProductCall, tile: Tile, on: Lowering): Dispatch[] {
  const { input } = call;
  const { rows } = input;
  // Columns that do not fill whole vectors get zeros behind them, as the weights have.
  const whole = options.columns % 8 === 0 && isAligned(input, options.columns);
  const { paddedColumns } = weightLayout(1, options.columns, options.format);
  const columns = whole ? options.columns : paddedColumns;
  const halves = on.scratch(rows * columns * 2);
  const o = { ...options, columns, input: "f16" as const, tile };
  const [, inputStride, inputFirst, ...rest] = call.sizes;
  return [
    {
      kernel: whole ? convertInputOf(columns) : padInputOf({ columns: options.columns, paddedColumns }),
      places: [on.place(input), halves, status(statusWords.overflow)],
      sizes: [rows, inputStride, inputFirst, columns],
      workgroups: whole ? convertInputWorkgroups(rows, columns) : padInputWorkgroups(rows, paddedColumns),
    },
    {
      kernel: matrixGemmOf(o),
      places: [halves, ...call.weights, ...call.after, call.output],
      sizes: [rows, columns, 0, ...rest],
      workgroups: matrixGemmWorkgroups(o, rows),
    },
  ];
}

function overlap(a: Place, b: Place): boolean {
  if (a.in !== "arena" || b.in !== "arena") return false;
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

/** Whether rows of a tensor begin at multiples of four elements, and end at one. */
function isAligned({ storage, firstColumn }: Tensor, columns: number): boolean {
  return storage.columns % 4 === 0 && firstColumn % 4 === 0 && columns % 4 === 0;
}
