import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { matrix, randomMatrix, u32, valuesOf, widened, zeros } from "../../../../test/support/matrices.ts";
import { asHalves, runKernel } from "../../../../test/support/run-product.ts";
import "../../../../test/support/to-be-allclose.ts";
import { widen } from "../../../checkpoint/dtypes.ts";
import { ReferenceCache } from "../../reference/cache.ts";
import { rotary } from "../../reference/rotary.ts";
import type { WebGpuDevice } from "../device.ts";
import { type RotaryOptions, rotaryKernel, rotaryWorkgroups } from "./rotary.wgsl.ts";

interface RotaryCase extends Omit<RotaryOptions, "wide"> {
  readonly rows: number;
}

const cases: RotaryCase[] = [
  { rows: 1, heads: 4, keyValueHeads: 1, headSize: 128, cacheType: "f16", shared: true },
  { rows: 7, heads: 3, keyValueHeads: 3, headSize: 24, cacheType: "f32", shared: true },
  { rows: 7, heads: 6, keyValueHeads: 2, headSize: 8, cacheType: "f16", shared: false },
  { rows: 33, heads: 4, keyValueHeads: 2, headSize: 64, cacheType: "f32", shared: false },
  { rows: 33, heads: 14, keyValueHeads: 2, headSize: 64, cacheType: "f16", shared: true },
];

/** What a kernel makes of random numbers, and what the plain backend does: q, then the slots' k, then their v. */
async function run(
  device: WebGpuDevice,
  { rows, ...options }: RotaryCase,
  wide: boolean,
  change?: [string, string],
) {
  const { heads, keyValueHeads, headSize, cacheType, shared } = options;
  const kernel = rotaryKernel({ ...options, wide });
  const code = change ? kernel.code.replace(...change) : kernel.code;
  if (change) expect(code).not.toBe(kernel.code);
  const width = keyValueHeads * headSize;
  const widths = [heads * headSize, width, width];
  const parts = widths.map((columns, i) => randomMatrix(rows, columns, 3 + i));
  let inputs = parts.map((part, i) => widened(part, 8 - 4 * (i % 2), 4));
  if (shared) {
    const data = new Float32Array(rows * (widths[0] + 2 * width));
    const whole = widened(matrix(rows, data.length / rows, data), 4, 8);
    let start = whole.start;
    inputs = parts.map((part) => {
      for (let n = 0; n < rows; n++) {
        const row = part.data.subarray(n * part.columns, (n + 1) * part.columns);
        whole.data.set(row, n * whole.stride + start);
      }
      start += part.columns;
      return { ...whole, columns: part.columns, start: start - part.columns };
    });
  }
  const angles = widened(randomMatrix(rows, headSize, 9), 4, 4);
  const pages = 5;
  const pageSize = 16;
  const slots = widened(u32(Array.from({ length: rows }, (_, n) => (n * 37 + 5) % (pages * pageSize))), 2, 1);
  const cache = new ReferenceCache({ layers: 1, keyValueHeads, headSize, pageSize }, pages);
  const wanted = zeros(rows, widths[0]);
  const [query, key, value] = parts;
  // The plain backend finds the slots of all rows one after another.
  rotary({ query, key, value, angles, slots: u32(valuesOf(slots)) }, 0, cache, wanted);

  const output = widened(zeros(rows, widths[0]), 4, 8);
  output.data.fill(Number.NaN);
  const empty = new Float32Array(pages * pageSize * width).fill(Number.NaN);
  const half = cacheType === "f16";
  const answers = await runKernel(
    device,
    { ...kernel, code },
    [
      ...inputs.slice(0, shared ? 1 : 3).map(({ data }) => data),
      angles.data,
      slots.data,
      half ? asHalves(empty) : empty,
      half ? asHalves(empty) : empty,
      output.data,
      Uint32Array.from([
        rows,
        ...[...inputs, angles, slots, output].flatMap(({ stride, start }) => [stride, start]),
      ]),
    ],
    rotaryWorkgroups({ ...options, wide }, rows),
  );
  const [keys, values, turned] = answers.slice(-3).map((buffer, i) => {
    const bytes = new Uint8Array(buffer);
    return i < 2
      ? widen(half ? "F16" : "F32", bytes).slice(0, empty.length)
      : widen("F32", bytes).slice(0, output.data.length);
  });
  const kept = (of: Float32Array) =>
    valuesOf(slots).flatMap((slot) => Array.from(of.subarray(slot * width, (slot + 1) * width)));
  const written = [keys, values, turned].map((of) => of.filter((x) => !Number.isNaN(x)).length);
  return {
    query: valuesOf({ ...output, data: turned }),
    cached: [...kept(keys), ...kept(values)],
    wanted: valuesOf(wanted),
    wantedCached: (["key", "value"] as const).flatMap((part) =>
      valuesOf(slots).flatMap((slot) => Array.from(cache[part](0, slot))),
    ),
    strays: written[0] + written[1] + written[2] - rows * (widths[0] + 2 * width),
  };
}

describe.each(await presentAdapters("lavapipe", "SwiftShader"))("rotary on %s", (adapter) => {
  let opened: Promise<WebGpuDevice> | undefined;
  const device = () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
  afterAll(async () => (await opened)?.destroy());

  it.each(
    cases.flatMap((of) =>
      [true, false].map((wide) => [`${wide ? "wide" : "narrow"} ${JSON.stringify(of)}`, of, wide] as const),
    ),
  )("%s", async (_, of, wide) => {
    const { query, cached, wanted, wantedCached, strays } = await run(await device(), of, wide);
    expect(query).toBeAllclose(wanted, { ofRange: 1e-6 });
    expect(cached).toBeAllclose(wantedCached, { ofRange: of.cacheType === "f16" ? 5e-4 : 1e-6 });
    expect(strays).toBe(0);
  });

  it("is found out when a key's second half turns the other way, or a value is put with the keys", async () => {
    const turned = await run(await device(), cases[1], true, [
      "let second = b * cosine + a * sine",
      "let second = b * cosine - a * sine",
    ]);
    expect(turned.query).toBeAllclose(turned.wanted, { ofRange: 1e-6 });
    expect(turned.cached).not.toBeAllclose(turned.wantedCached, { ofRange: 0.01 });
    const misplaced = await run(await device(), cases[0], true, ["values[to] =", "keys[to] ="]);
    expect(misplaced.cached).not.toBeAllclose(misplaced.wantedCached, { ofRange: 0.01 });
  });
});
