import { pagedAttention } from "../../src/backend/reference/attention.ts";
import { rotary } from "../../src/backend/reference/rotary.ts";
import type { WebGpuDevice } from "../../src/backend/webgpu/device.ts";
import type { Kernel, Workgroups } from "../../src/backend/webgpu/kernel.ts";
import { widen } from "../../src/checkpoint/dtypes.ts";
import { matrix, randomMatrix, u32, valuesOf, widened, zeros } from "./matrices.ts";
import { roundToHalf } from "./packed-weights.ts";
import { filledPages, type PagedCase } from "./run-attention.ts";
import { asHalves, runKernel } from "./run-product.ts";

export interface TurnedCase extends PagedCase {
  /** Query, key and value are columns of one matrix. */
  readonly shared: boolean;
}

/** The kernel that splits, and the one that merges where there are several splits. */
export interface TurnedRun {
  readonly kernel: Kernel;
  readonly workgroups: Workgroups;
  readonly splits: number;
  readonly partialBytes: number;
  readonly combine?: { readonly kernel: Kernel; readonly workgroups: Workgroups };
  /** The output is f16 in memory. */
  readonly halfOutput?: boolean;
}

/** Query, key and value with columns around them, in one matrix or in three. */
function inputsOf(rows: number, widths: readonly number[], shared: boolean) {
  const parts = widths.map((columns, i) => randomMatrix(rows, columns, 3 + i));
  if (!shared) return { parts, tensors: parts.map((part, i) => widened(part, 8 - 4 * (i % 2), 4)) };
  const columns = widths.reduce((sum, n) => sum + n, 0);
  const whole = widened(matrix(rows, columns, new Float32Array(rows * columns)), 4, 8);
  let start = whole.start;
  const tensors = parts.map((part) => {
    for (let n = 0; n < rows; n++) {
      const row = part.data.subarray(n * part.columns, (n + 1) * part.columns);
      whole.data.set(row, n * whole.stride + start);
    }
    start += part.columns;
    return { ...whole, columns: part.columns, start: start - part.columns };
  });
  return { parts, tensors };
}

/**
 * `Rotary` and `PagedAttention` of random numbers by one kernel, and what the plain backend makes of them: the output,
 * and the keys and values of the new tokens in the cache.
 */
export async function runTurnedAttention(device: WebGpuDevice, of: TurnedCase, run: TurnedRun) {
  const { heads, keyValueHeads, headSize, pageSize, cacheType, lengths, fresh, shared } = of;
  const { splits, halfOutput = false } = run;
  const rows = fresh.reduce((sum, n) => sum + n, 0);
  const width = keyValueHeads * headSize;
  const { parts, tensors } = inputsOf(rows, [heads * headSize, width, width], shared);
  const angles = widened(randomMatrix(rows, headSize, 9), 4, 4);
  const before = lengths.map((n, b) => n - fresh[b]);
  const { cache, keys, values, pages } = filledPages(of, 1, before);
  const slotList = fresh.flatMap((count, b) =>
    Array.from({ length: count }, (_, i) => {
      const position = before[b] + i;
      const page = pages.data[b * pages.columns + Math.floor(position / pageSize)];
      return page * pageSize + (position % pageSize);
    }),
  );
  const slots = widened(u32(slotList), 2, 1);
  let end = 0;
  const starts = u32([0, ...fresh.map((n) => (end += n))]);

  const [query, key, value] = parts;
  const turned = zeros(rows, heads * headSize);
  rotary({ query, key, value, angles, slots: u32(slotList) }, 0, cache, turned);
  if (cacheType === "f16") {
    for (const slot of slotList)
      for (const row of [cache.key(0, slot), cache.value(0, slot)]) row.set(row.map(roundToHalf));
  }
  const wanted = zeros(rows, heads * headSize);
  const tables = { starts, lengths: u32(lengths), pages };
  pagedAttention(turned, tables, { layer: 0, heads }, cache, wanted);

  const output = widened(zeros(rows, heads * headSize), 0, 4);
  output.data.fill(Number.NaN);
  const written = halfOutput ? asHalves(output.data) : output.data;
  const [q, k, v] = tensors;
  const strides = [k, v, angles, slots].flatMap(({ stride, start }) => [stride, start]);
  const sizes = [rows, lengths.length, pages.columns, q.stride, q.start, output.stride, splits];
  const alone = run.combine === undefined;
  const answers = await runKernel(
    device,
    run.kernel,
    [
      ...(shared ? [q] : tensors).map(({ data }) => data),
      angles.data,
      slots.data,
      keys,
      values,
      ...[starts, tables.lengths, pages].map(({ data }) => data),
      alone ? written : output.data,
      alone && halfOutput ? new Uint32Array(1) : new Uint8Array(run.partialBytes),
      Uint32Array.from([...sizes, ...strides]),
    ],
    run.workgroups,
  );
  const first = shared ? 3 : 5;
  const cached = [0, 1].map((i) =>
    widen(cacheType === "f16" ? "F16" : "F32", new Uint8Array(answers[first + i])),
  );
  let answer = answers[first + 5];
  if (run.combine) {
    const { kernel, workgroups } = run.combine;
    const merged = await runKernel(
      device,
      kernel,
      [
        new Uint8Array(answers[first + 6]),
        written,
        ...(halfOutput ? [new Uint32Array(1)] : []),
        Uint32Array.from(sizes),
      ],
      workgroups,
    );
    answer = merged[1];
  }
  const data = widen(halfOutput ? "F16" : "F32", new Uint8Array(answer)).slice(0, output.data.length);
  const got = valuesOf({ ...output, data });
  const kept = (part: Float32Array) =>
    slotList.flatMap((slot) => [...part.subarray(slot * width, (slot + 1) * width)]);
  const there = before.reduce((sum, n) => sum + n, rows) * width;
  const slotsThere = Math.floor(keys.byteLength / (width * (cacheType === "f16" ? 2 : 4))) * width;
  const count = (part: Float32Array) =>
    part.subarray(0, slotsThere).filter((x) => !Number.isNaN(x)).length - there;
  return {
    got,
    wanted: valuesOf(wanted),
    kept: cached.flatMap(kept),
    wantedKept: (["key", "value"] as const).flatMap((part) =>
      slotList.flatMap((slot) => [...cache[part](0, slot)]),
    ),
    /** Numbers written where there should be none. */
    strays: data.filter((x) => !Number.isNaN(x)).length - got.length + count(cached[0]) + count(cached[1]),
  };
}
