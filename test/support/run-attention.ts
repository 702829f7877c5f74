import { attention, pagedAttention } from "../../src/backend/reference/attention.ts";
import { ReferenceCache } from "../../src/backend/reference/cache.ts";
import type { WebGpuDevice } from "../../src/backend/webgpu/device.ts";
import type { Kernel, Workgroups } from "../../src/backend/webgpu/kernel.ts";
import { widen } from "../../src/checkpoint/dtypes.ts";
import { matrix, randomNumbers, u32, valuesOf, widened, zeros } from "./matrices.ts";
import { halfBits, roundToHalf } from "./packed-weights.ts";
import { asHalves, runKernel } from "./run-product.ts";

const scaled = (values: Float32Array, factor: number) => values.map((x) => x * factor);

export interface TileCase {
  readonly heads: number;
  readonly headSize: number;
  readonly groups: number;
  readonly groupRows: number;
  /** Largest query and key; from about 2 on a few scores decide. */
  readonly spread?: number;
}

/** Tile attention over random numbers by a kernel, and what the plain backend makes of them. */
export async function runTileAttention(
  device: WebGpuDevice,
  kernel: Kernel,
  workgroups: Workgroups,
  { heads, headSize, groups, groupRows, spread = 1 }: TileCase,
  {
    together,
    status = false,
    firstValue,
    rounding,
    halfOutput = false,
  }: {
    together: boolean;
    status?: boolean;
    firstValue?: number;
    /** What rounds keys and values to f16 before. */
    rounding?: { kernel: Kernel; workgroups: Workgroups; bytes: number };
    /** The output is f16 in memory. */
    halfOutput?: boolean;
  },
) {
  const rows = groups * groupRows;
  const width = heads * headSize;
  const parts = [spread, spread, 1].map((factor, i) =>
    matrix(rows, width, scaled(randomNumbers(rows * width, 31 + i), factor)),
  );
  if (firstValue !== undefined) parts[0].data[0] = firstValue;
  let tensors = parts.map((part) => widened(part, 8, 4));
  if (together) {
    const stride = 3 * width + 8;
    const data = new Float32Array(rows * stride).fill(Number.NaN);
    tensors = parts.map((part, i) => ({ ...part, data, start: 4 + i * width, stride }));
    for (const [i, { start }] of tensors.entries()) {
      for (let n = 0; n < rows; n++) {
        data.set(parts[i].data.subarray(n * width, (n + 1) * width), n * stride + start);
      }
    }
  }
  const wanted = zeros(rows, width);
  attention(parts[0], parts[1], parts[2], { heads, headSize, groupRows }, wanted);
  const output = widened(zeros(rows, width), 0, 4);
  output.data.fill(Number.NaN);
  const sizes = Uint32Array.from([
    groups,
    groupRows,
    ...tensors.flatMap(({ stride, start }) => [stride, start]),
    output.stride,
  ]);
  const states = status ? [new Uint32Array(1)] : [];
  const inputs: (Float32Array | Uint8Array)[] = tensors.slice(0, together ? 1 : 3).map(({ data }) => data);
  if (rounding) {
    const sources = together ? inputs : inputs.splice(1);
    const { kernel, workgroups, bytes } = rounding;
    const rounded = await runKernel(
      device,
      kernel,
      [...sources, new Uint8Array(bytes), ...states, sizes],
      workgroups,
    );
    inputs.push(new Uint8Array(rounded[sources.length], 0, bytes));
  }
  const written = halfOutput ? asHalves(output.data) : output.data;
  const answers = await runKernel(device, kernel, [...inputs, written, ...states, sizes], workgroups);
  const at = inputs.length;
  const state = status ? new Uint32Array(answers[at + 1])[0] : 0;
  return answerOf(answers[at], output, wanted, state, halfOutput);
}

function answerOf(
  buffer: ArrayBuffer,
  output: ReturnType<typeof zeros>,
  wanted: ReturnType<typeof zeros>,
  status: number,
  half: boolean,
) {
  const data = widen(half ? "F16" : "F32", new Uint8Array(buffer)).slice(0, output.data.length);
  const got = valuesOf({ ...output, data });
  const strays = data.filter((x) => !Number.isNaN(x)).length - got.length;
  return { got, wanted: valuesOf(wanted), strays, status };
}

export interface PagedCase {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly pageSize: number;
  readonly cacheType: "f16" | "f32";
  /** Of each sequence: all tokens, and those that are new. */
  readonly lengths: readonly number[];
  readonly fresh: readonly number[];
  readonly spread?: number;
}

/**
 * A cache of random keys and values on shuffled pages, NaN on every slot that is no sequence's.
 * @param filled positions of each sequence that have keys and values; NaN is on the rest
 */
export function filledPages(
  { keyValueHeads, headSize, pageSize, cacheType, lengths, spread = 1 }: PagedCase,
  valueFactor = 1,
  filled = lengths,
) {
  const width = keyValueHeads * headSize;
  const counts = lengths.map((n) => Math.ceil(n / pageSize));
  const columns = Math.max(...counts) + 1;
  const total = counts.reduce((sum, n) => sum + n, 0);
  // Pages from the last to the first; entries behind a sequence's own lead nowhere.
  let left = total;
  const table = counts.flatMap((n) =>
    Array.from({ length: columns }, (_, i) => (i < n ? --left : 0x00ffffff)),
  );
  const [keys, values] = [0, 1].map(() => new Float32Array(total * pageSize * width).fill(Number.NaN));
  const rounded = (data: Float32Array) => (cacheType === "f16" ? data.map(roundToHalf) : data);
  for (const [b, n] of lengths.entries()) {
    const fresh = [spread, valueFactor].map((factor, i) =>
      rounded(scaled(randomNumbers(n * width, 41 + 2 * b + i), factor)),
    );
    for (let p = 0; p < filled[b]; p++) {
      const slot = table[b * columns + Math.floor(p / pageSize)] * pageSize + (p % pageSize);
      keys.set(fresh[0].subarray(p * width, (p + 1) * width), slot * width);
      values.set(fresh[1].subarray(p * width, (p + 1) * width), slot * width);
    }
  }
  const cache = new ReferenceCache({ layers: 1, keyValueHeads, headSize, pageSize }, total);
  for (let slot = 0; slot < total * pageSize; slot++) {
    cache.key(0, slot).set(keys.subarray(slot * width, (slot + 1) * width));
    cache.value(0, slot).set(values.subarray(slot * width, (slot + 1) * width));
  }
  const packed = (data: Float32Array) =>
    cacheType === "f16"
      ? new Uint8Array(Uint16Array.from(data, (x) => (Number.isNaN(x) ? 0x7e00 : halfBits(x))).buffer)
      : data;
  return { cache, keys: packed(keys), values: packed(values), pages: u32(table, columns) };
}

/** Paged attention over random numbers by a kernel, and what the plain backend makes of them. */
export async function runPagedAttention(
  device: WebGpuDevice,
  kernel: Kernel,
  workgroups: Workgroups,
  of: PagedCase,
  {
    status = false,
    splits = 1,
    partialBytes = 0,
    combine,
    halfOutput = false,
    valueFactor = 1,
  }: {
    status?: boolean;
    splits?: number;
    partialBytes?: number;
    combine?: { kernel: Kernel; workgroups: Workgroups };
    /** The output is f16 in memory: with `combine`, that kernel's. */
    halfOutput?: boolean;
    /** What the cache's values are multiplied by. */
    valueFactor?: number;
  } = {},
) {
  const { cache, keys, values, pages } = filledPages(of, valueFactor);
  let rows = 0;
  const starts = u32([0, ...of.fresh.map((n) => (rows += n))]);
  const width = of.heads * of.headSize;
  const query = widened(matrix(rows, width, scaled(randomNumbers(rows * width, 39), of.spread ?? 1)), 4, 8);
  const lengths = u32(of.lengths);
  const wanted = zeros(rows, width);
  pagedAttention(query, { starts, lengths, pages }, { layer: 0, heads: of.heads }, cache, wanted);
  const output = widened(zeros(rows, width), 0, 4);
  output.data.fill(Number.NaN);
  const sizes = [rows, of.lengths.length, pages.columns, query.stride, query.start, output.stride, splits];
  const written = halfOutput ? asHalves(output.data) : output.data;
  const answers = await runKernel(
    device,
    kernel,
    [
      query.data,
      keys,
      values,
      starts.data,
      lengths.data,
      pages.data,
      combine ? output.data : written,
      ...(partialBytes > 0 ? [new Uint8Array(partialBytes)] : []),
      ...(status ? [new Uint32Array(1)] : []),
      Uint32Array.from(sizes),
    ],
    workgroups,
  );
  // The bindings written: query, starts, lengths, pages, output, then partial or status.
  if (!combine) {
    return answerOf(answers[4], output, wanted, status ? new Uint32Array(answers[5])[0] : 0, halfOutput);
  }
  const merged = await runKernel(
    device,
    combine.kernel,
    [
      new Uint8Array(answers[5]),
      written,
      ...(halfOutput ? [new Uint32Array(1)] : []),
      Uint32Array.from(sizes),
    ],
    combine.workgroups,
  );
  return answerOf(merged[1], output, wanted, halfOutput ? new Uint32Array(merged[2])[0] : 0, halfOutput);
}
