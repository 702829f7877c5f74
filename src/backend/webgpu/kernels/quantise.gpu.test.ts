import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { randomNumbers } from "../../../../test/support/matrices.ts";
import { bf16Bits, halfBits, packWeight, roundToHalf } from "../../../../test/support/packed-weights.ts";
import { runKernel } from "../../../../test/support/run-product.ts";
import { roundToBf16 } from "../../../checkpoint/dtypes.ts";
import type { WebGpuDevice } from "../device.ts";
import { convertInput, convertInputWorkgroups } from "./convert-input.wgsl.ts";
import {
  fitsHalf,
  largestMagnitude,
  narrowWeights,
  narrowWeightsWorkgroups,
} from "./convert-weights.wgsl.ts";
import { quantise, quantiseWorkgroups } from "./quantise.wgsl.ts";

const rounding = { f32: (x: number) => x, bf16: roundToBf16, f16: roundToHalf } as const;
const bits = { bf16: (x: number) => bf16Bits(roundToBf16(x)), f16: halfBits } as const;

describe.each(await presentAdapters("lavapipe", "SwiftShader"))("on %s", (adapter) => {
  let opened: Promise<WebGpuDevice> | undefined;
  const device = () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
  afterAll(async () => (await opened)?.destroy());

  const cases = (["bf16", "f16", "f32"] as const).flatMap((from) =>
    (["int8", "int4"] as const).map((to) => ({ from, to })),
  );

  it.each(cases)("$from rows become $to as on the cpu, bit for bit", async ({ from, to }) => {
    const [rows, columns, first, stride] = [37, 100, 2, 111];
    const values = randomNumbers(rows * columns, 5).map((x, i) =>
      rounding[from](Math.fround(x ** 3 / 7 + (i % 9) / 8)),
    );
    values.fill(0, 3 * columns, 4 * columns);
    values[40] = values[41] * 2; // exact halves
    const source = new Float32Array((rows + 1) * stride).fill(9);
    for (let r = 0; r < rows; r++) source.set(values.subarray(r * columns, (r + 1) * columns), r * stride);
    const staged = from === "f32" ? source : new Uint8Array(Uint16Array.from(source, bits[from]).buffer);
    const want = packWeight(values, rows, columns, to);
    const pad = (bytes: Uint8Array) => new Uint8Array(bytes.length * 2);
    const options = { columns, from, to };
    const answers = await runKernel(
      await device(),
      quantise(options),
      [staged, pad(want.bytes), pad(want.scales!), Uint32Array.from([rows, stride, first])],
      quantiseWorkgroups(options, rows),
    );
    const [got, scales] = answers.map((answer) => new Uint8Array(answer));
    const rowBytes = want.bytes.length / rows;
    const scaleBytes = want.scales!.length / rows;
    expect(got.slice(first * rowBytes, (first + rows) * rowBytes)).toEqual(want.bytes);
    // A row of zeros may keep or lose the sign of its scale.
    const positive = (all: Uint8Array) => all.map((byte, i) => (i % 2 === 1 && byte === 0x80 ? 0 : byte));
    expect(positive(scales.slice(first * scaleBytes, (first + rows) * scaleBytes))).toEqual(
      positive(want.scales!),
    );
    // One value more than half a step off is seen.
    values[7] += 0.2;
    expect(packWeight(values, rows, columns, to).bytes).not.toEqual(want.bytes);
  });

  it("bf16 becomes f16 where it fits", async () => {
    const words = 2500;
    const values = randomNumbers(words * 2, 6).map((x) => roundToBf16(x * 5));
    values.set([-4096, 1e-5, 2e-7], 77);
    const packed = Uint16Array.from(values, bf16Bits);
    const sizes = Uint32Array.from([words]);
    const groups = narrowWeightsWorkgroups(words);
    const bytes = new Uint8Array(packed.buffer);
    const [largest] = await runKernel(
      await device(),
      largestMagnitude(),
      [bytes, new Uint32Array(1), sizes],
      groups,
    );
    const found = new Uint32Array(largest)[0];
    expect(found).toBe(bf16Bits(4096));
    expect(fitsHalf(found)).toBe(true);
    expect(fitsHalf(bf16Bits(65536))).toBe(false);
    expect(fitsHalf(bf16Bits(65280))).toBe(true);
    const [narrowed] = await runKernel(await device(), narrowWeights(), [bytes, sizes], groups);
    const got = new Uint16Array(narrowed, 0, words * 2);
    const smallest = 2 ** -14; // below, a device may flush to zero
    const kept = (i: number) => Math.abs(values[i]) >= smallest;
    expect(got.filter((_, i) => kept(i))).toEqual(
      Uint16Array.from(values, halfBits).filter((_, i) => kept(i)),
    );
    expect(got.filter((half, i) => !kept(i) && (half & 0x7fff) > 0x400)).toHaveLength(0);
  });

  it.each([
    [1, 0],
    [65504, 0],
    [-65536, 1],
    [Number.POSITIVE_INFINITY, 1],
  ])("an input of %d sets the status to %d", async (value, status) => {
    const [rows, columns, stride] = [5, 32, 40];
    const input = randomNumbers(rows * stride, 8);
    input[2 * stride + 9] = value;
    const answers = await runKernel(
      await device(),
      convertInput(columns),
      [
        input,
        new Uint32Array((rows * columns) / 2),
        new Uint32Array(1),
        Uint32Array.from([rows, stride, 4, columns]),
      ],
      convertInputWorkgroups(rows, columns),
    );
    expect(new Uint32Array(answers[2])[0]).toBe(status);
    if (status !== 0) return;
    const want = Array.from({ length: rows * columns }, (_, i) =>
      halfBits(input[Math.floor(i / columns) * stride + 4 + (i % columns)]),
    );
    const got = [...new Uint16Array(answers[1], 0, rows * columns)];
    expect(got.filter((half, i) => half !== want[i] && (want[i] & 0x7c00) !== 0)).toHaveLength(0);
  });
});
