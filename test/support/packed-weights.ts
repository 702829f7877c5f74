import { type WeightFormat, weightLayout } from "../../src/backend/webgpu/kernels/product.ts";
import { roundToBf16 } from "../../src/checkpoint/dtypes.ts";

/** A weight as the webgpu backend holds it, and the numbers `[rows, columns]` that it stands for. */
export interface PackedWeight {
  readonly bytes: Uint8Array;
  readonly scales: Uint8Array | undefined;
  readonly floats: Float32Array;
}

/** Packs f32 `[rows, columns]` by the plain rules of `weightLayout`. */
export function packWeight(
  values: Float32Array,
  rows: number,
  columns: number,
  format: WeightFormat,
): PackedWeight {
  const layout = weightLayout(rows, columns, format);
  const padded = layout.paddedColumns;
  const bytes = new Uint8Array(layout.values).fill(format === "int4" ? 0x88 : 0);
  const scales = layout.scales > 0 ? new Uint8Array(layout.scales) : undefined;
  const floats = new Float32Array(rows * columns);
  const view = new DataView(bytes.buffer);
  const scaleView = scales && new DataView(scales.buffer);
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * columns, (r + 1) * columns);
    const at = r * padded;
    if (format === "int8") {
      const scale = Math.fround(largest(row) / 127);
      scaleView!.setFloat32(r * 4, scale, true);
      row.forEach((value, c) => {
        const q = scale > 0 ? halvesAway(Math.fround(value / scale)) : 0;
        view.setInt8(at + c, q);
        floats[r * columns + c] = q * scale;
      });
    } else if (format === "int4") {
      for (let first = 0; first < columns; first += 32) {
        const group = row.subarray(first, first + 32);
        const extreme = group.find((value) => Math.abs(value) === largest(group))!;
        const scale = roundToBf16(extreme / -8);
        scaleView!.setUint16(((at + first) / 32) * 2, bf16Bits(scale), true);
        group.forEach((value, i) => {
          const q = scale === 0 ? 0 : Math.max(-8, Math.min(7, halvesAway(Math.fround(value / scale))));
          const nibble = at + first + i;
          const shift = (nibble % 2) * 4;
          bytes[nibble >> 1] = (bytes[nibble >> 1] & (0xf0 >> shift)) | ((q + 8) << shift);
          floats[r * columns + first + i] = q * scale;
        });
      }
    } else {
      row.forEach((value, c) => {
        if (format === "f32") view.setFloat32((at + c) * 4, value, true);
        else
          view.setUint16(
            (at + c) * 2,
            format === "f16" ? halfBits(value) : bf16Bits(roundToBf16(value)),
            true,
          );
        floats[r * columns + c] =
          format === "f32" ? value : format === "f16" ? roundToHalf(value) : roundToBf16(value);
      });
    }
  }
  return { bytes, scales, floats };
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function halvesAway(value: number): number {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

export function bf16Bits(value: number): number {
  return new Uint32Array(new Float32Array([value]).buffer)[0] >>> 16;
}

/** The nearest f16 to a number below 65520 in magnitude, ties to the even one. */
export function roundToHalf(value: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1)));
  const step = 2 ** (exponent - 10);
  const steps = Math.floor(value / step);
  const rest = value / step - steps;
  return (steps + (rest > 0.5 || (rest === 0.5 && steps % 2 !== 0) ? 1 : 0)) * step;
}

export function halfBits(value: number): number {
  const rounded = Math.abs(roundToHalf(value));
  const sign = value < 0 ? 0x8000 : 0;
  if (rounded < 2 ** -14) return sign | (rounded * 2 ** 24);
  const exponent = Math.floor(Math.log2(rounded));
  return sign | ((exponent + 15) << 10) | ((rounded / 2 ** exponent - 1) * 1024);
}
