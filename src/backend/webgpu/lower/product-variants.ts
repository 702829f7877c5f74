import type { RmsNorm } from "../../../graph/operations.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { convertInput, convertInputWorkgroups } from "../kernels/convert-input.wgsl.ts";
import { type DotGemvOptions, dotGemv, dotGemvBytes, dotGemvWorkgroups } from "../kernels/dot-gemv.wgsl.ts";
import { gemv, gemvWorkgroups } from "../kernels/gemv.wgsl.ts";
import { lookAheadBindings } from "../kernels/look-ahead.ts";
import { matrixGemm, matrixGemmWorkgroups } from "../kernels/matrix-gemm.wgsl.ts";
import type { Tile } from "../kernels/matrix-gemm-plan.ts";
import { padInput, padInputWorkgroups } from "../kernels/pad-input.wgsl.ts";
import { plainProduct, plainProductWorkgroups } from "../kernels/plain-product.wgsl.ts";
import { epilogueKey, type ProductOptions, weightLayout } from "../kernels/product.ts";
import {
  type DotSharing,
  dotSharings,
  gemvSharings,
  matrixTiles,
  type Sharing,
} from "../kernels/product-tiles.ts";
import { type Dispatch, type Lowering, type Place, status, statusWords, strides } from "./dispatch.ts";
import { f32Input, f32Output, mostGemvRows } from "./halves.ts";
import { plainNorm } from "./norms.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { remembered } from "./remembered.ts";
import type { Choice, Variant } from "./variant.ts";

/** One product with all that it reads and writes. */
export interface ProductCall {
  /** What makes the input, where that may be part of the product. */
  readonly norm?: RmsNorm;
  /** The weights whose pages `gemv` looks up, or none. */
  readonly upcoming: readonly Place[];
  readonly input: Tensor;
  readonly output: Tensor;
  /** Values, then scales. */
  readonly weights: readonly Place[];
  /** What the epilogue reads, and of it what has rows. */
  readonly after: readonly Place[];
  readonly residual?: Tensor;
  /** The words of `productSizes`. */
  readonly sizes: readonly number[];
}

const dotGemvOf = remembered(dotGemv);
const gemvOf = remembered(gemv);
const matrixGemmOf = remembered(matrixGemm);
const plainOf = remembered(plainProduct);
const convertInputOf = remembered(convertInput);
const padInputOf = remembered(padInput);

/** The ways to compute a product on this device, the one that is likely best first. */
export function productVariants(options: ProductOptions, call: ProductCall, on: Lowering): Choice {
  const { columns, outputs, format } = options;
  const { rows } = call.input;
  const bucket = powerOfTwo(rows);
  const { norm } = call;
  const alone: Variant[] = [
    ...gemvVariants(options, call, on),
    ...matrixVariants(options, call, on),
    { name: "plain", build: () => plain(options, call, on) },
  ];
  const after = (variant: Variant): Variant =>
    norm ? { ...variant, build: () => [...plainNorm(norm, on), ...variant.build()] } : variant;
  const kept = `${on.isHalf(call.input) ? "from f16 " : ""}${on.isHalf(call.output) ? "to f16 " : ""}`;
  const ahead = call.upcoming.length > 0 && rows <= mostGemvRows ? " looking ahead" : "";
  const name = `product ${columns}x${outputs} ${format} ${epilogueKey(options)} ${kept}rows ${bucket}${ahead}`;
  return {
    name: norm ? `norm and ${name}` : name,
    output: on.place(call.output),
    isHalf: on.isHalf(call.output),
    variants: [...(norm ? fusedVariants(options, call, norm, on) : []), ...alone.map(after)],
  };
}

/** What judges the others. */
function plain(options: ProductOptions, call: ProductCall, on: Lowering): Dispatch[] {
  const from = f32Input(call.input, on);
  const to = f32Output(call.output, on);
  const product: Dispatch = {
    kernel: plainOf(options),
    places: [from.place, ...call.weights, ...call.after, to.place],
    sizes: [...call.sizes, options.columns, options.outputs],
    workgroups: plainProductWorkgroups(call.input.rows, options.outputs),
  };
  return [...from.before, product, ...to.after];
}

/** Few rows, at the speed of memory. */
function gemvVariants(options: ProductOptions, call: ProductCall, on: Lowering): Variant[] {
  const places = [on.place(call.input), ...call.weights, ...call.after, on.place(call.output)];
  return fewRows(options, call, call.input, on).map(({ name, rounds, make }) => ({
    name,
    rounds,
    build: () => [{ ...make(places), sizes: call.sizes }],
  }));
}

/** The same with the norm of its input inside. */
function fusedVariants(options: ProductOptions, call: ProductCall, norm: RmsNorm, on: Lowering): Variant[] {
  const { input, weight, epsilon } = norm;
  // The planner knows that the norm reads its input, not that the product does: that may write there.
  const output = on.place(call.output);
  if (overlap(on.place(input), output)) return [];
  const [rows, , , ...rest] = call.sizes;
  const places = [on.place(input), ...call.weights, on.vector(weight), ...call.after, output];
  const sizes = [rows, ...strides(input), ...rest];
  return fewRows(options, call, input, on).map(({ name, rounds, make }) => ({
    name: `${name} with norm`,
    rounds,
    build: () => [{ ...make(places, { epsilon }), sizes }],
  }));
}

/** A kernel for few rows, which can have a norm inside. */
interface FewRows {
  readonly name: string;
  readonly rounds: boolean;
  make(places: readonly Place[], normalise?: { readonly epsilon: number }): Omit<Dispatch, "sizes">;
}

function fewRows(options: ProductOptions, { upcoming }: ProductCall, input: Tensor, on: Lowering): FewRows[] {
  const most = on.device.isSoftware ? 1 : mostGemvRows;
  if (input.rows > most || on.portable || !on.device.features.has("subgroups")) return [];
  const rows = powerOfTwo(input.rows);
  const { maxStorageBuffersPerShaderStage } = on.device.limits;
  const scalarInput = !isAligned(input, options.columns);
  const gemvWith = (sharing: Sharing): FewRows => {
    const o = { ...options, rows, scalarInput, ...sharing };
    return {
      name: sharingName("gemv", sharing),
      rounds: false,
      make(places, normalise) {
        const workgroups = gemvWorkgroups(o);
        const [x, y] = workgroups;
        const bound = places.length + lookAheadBindings(upcoming.length).length;
        if (upcoming.length === 0 || bound > maxStorageBuffersPerShaderStage)
          return { kernel: gemvOf({ ...o, normalise }), places, workgroups };
        const ahead = [...upcoming, on.scratch(x * y * 4)];
        const kernel = gemvOf({ ...o, normalise, looksAhead: upcoming.length });
        return { kernel, places: [...places, ...ahead], workgroups };
      },
    };
  };
  if (on.device.isSoftware) return [{ ...gemvWith({ threads: 32 }), name: "gemv" }];
  const { format } = options;
  const isInteger = format === "int8" || format === "int4";
  const dots = isInteger && !scalarInput && on.precision === "fast" ? dotSharings[format] : [];
  return [
    ...dots.flatMap((sharing) =>
      dotWith({ ...options, format: format as "int8" | "int4", rows }, sharing, on),
    ),
    ...gemvSharings[format].map(gemvWith),
  ];
}

/** In integers, which rounds the input to 8 bits; nothing where the device's workgroups are too small. */
function dotWith(
  options: Omit<DotGemvOptions, keyof DotSharing>,
  sharing: DotSharing,
  on: Lowering,
): FewRows[] {
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = on.device.limits;
  const lanes = Math.min(sharing.lanes ?? 32, on.device.info.subgroupMinSize);
  const o = { ...options, ...sharing, lanes };
  const tooLarge =
    dotGemvBytes(o) > maxComputeWorkgroupStorageSize || o.threads > maxComputeInvocationsPerWorkgroup;
  if (tooLarge || o.together * o.rows > lanes) return [];
  return [
    {
      name: sharingName("dot", sharing),
      rounds: true,
      make: (places, normalise) => ({
        kernel: dotGemvOf({ ...o, normalise }),
        places,
        workgroups: dotGemvWorkgroups(o),
      }),
    },
  ];
}

function sharingName(kernel: string, sharing: Sharing | DotSharing): string {
  return [kernel, ...Object.entries(sharing).map(([key, value]) => `${key} ${value}`)].join(" ");
}

/** Products on the matrix units, which round the input to f16: only where numbers may be rounded. */
function matrixVariants(options: ProductOptions, call: ProductCall, on: Lowering): Variant[] {
  const { format } = options;
  const { input } = call;
  const exact = !on.mayRound || format === "f32" || format === "bf16";
  if (exact || input.rows < 2) return [];
  return matrixTiles(input.rows, options.gated).map((tile) => ({
    name: `matrix ${Object.values(tile).join(" ")}`,
    rounds: true,
    build: () => matrix(options, call, tile, on),
  }));
}

function matrix(options: ProductOptions, call: ProductCall, tile: Tile, on: Lowering): Dispatch[] {
  const { input, output } = call;
  const from = halfInput(options, input, on);
  const { columns } = from;
  const wide = isWide(options, call);
  const to = wide ? { place: on.place(output), after: [] } : f32Output(output, on);
  const result = wide && on.isHalf(output) ? ("f16" as const) : ("f32" as const);
  const o = { ...options, columns, input: "f16" as const, result, wide, tile };
  const [, , , ...rest] = call.sizes;
  const overflow = result === "f16" ? [status(statusWords.overflow)] : [];
  return [
    ...from.before,
    {
      kernel: matrixGemmOf(o),
      places: [from.place, ...call.weights, ...call.after, to.place, ...overflow],
      sizes: [input.rows, columns, 0, ...rest],
      workgroups: matrixGemmWorkgroups(o, input.rows),
    },
    ...to.after,
  ];
}

/** The input as rows of f16, and how long they are. */
function halfInput(options: ProductOptions, input: Tensor, on: Lowering) {
  if (on.isHalf(input)) return { place: on.place(input), columns: options.columns, before: [] };
  // Columns that do not fill whole vectors get zeros behind them, as the weights have.
  const whole = options.columns % 8 === 0 && isAligned(input, options.columns);
  const { paddedColumns } = weightLayout(1, options.columns, options.format);
  const columns = whole ? options.columns : paddedColumns;
  const { rows } = input;
  const place = on.scratch(rows * columns * 2);
  const round: Dispatch = {
    kernel: whole ? convertInputOf(columns) : padInputOf({ columns: options.columns, paddedColumns }),
    places: [on.place(input), place, status(statusWords.overflow)],
    sizes: [rows, ...strides(input), columns],
    workgroups: whole ? convertInputWorkgroups(rows, columns) : padInputWorkgroups(rows, paddedColumns),
  };
  return { place, columns, before: [round] };
}

/** Whether results can be written four columns at a time. */
function isWide({ outputs }: ProductOptions, { output, residual, sizes }: ProductCall): boolean {
  const firstRow = sizes.at(-1)!;
  const aligned = isAligned(output, outputs) && (!residual || isAligned(residual, outputs));
  return aligned && firstRow % 4 === 0;
}

function overlap(a: Place, b: Place): boolean {
  if (a.in !== "arena" || b.in !== "arena") return false;
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

/** Whether rows of a tensor begin at multiples of four elements, and end at one. */
function isAligned({ storage, firstColumn }: Tensor, columns: number): boolean {
  return storage.columns % 4 === 0 && firstColumn % 4 === 0 && columns % 4 === 0;
}
