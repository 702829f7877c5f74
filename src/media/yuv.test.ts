import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MediaError } from "../errors.ts";
import { packedPlanes, packedSize, type YUVMatrix, yuv420ToRGB } from "./yuv.ts";

// Made by ffmpeg: test/media/make.mjs.
const read = (file: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/media/${file}`, import.meta.url)));
const { width, height, rows } = JSON.parse(new TextDecoder().decode(read("noise.json"))) as {
  width: number;
  height: number;
  rows: { matrix: YUVMatrix; fullRange: boolean; sha256: string }[];
};
const noise = read("noise.yuv");
const planes = packedPlanes(noise, width, height);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("yuv420ToRGB", () => {
  it.each(["bt601", "bt709"] as const)("gives ffmpeg's bytes, %s", (matrix) => {
    const image = yuv420ToRGB({ width, height, ...planes, matrix, fullRange: false });
    expect(image).toEqual({ width, height, data: read(`noise.${matrix}.rgb`) });
  });

  it.each(rows)("gives ffmpeg's bytes, $matrix, full range $fullRange", ({ matrix, fullRange, ...row }) => {
    expect(sha256(yuv420ToRGB({ width, height, ...planes, matrix, fullRange }).data)).toBe(row.sha256);
  });

  it("is told from a rounding conversion by these bytes", () => {
    const expected = read("noise.bt601.rgb");
    const rounded = Uint8ClampedArray.from({ length: width * height }, (_, i) => {
      const chroma = (i / width) >> 1;
      const v = noise[planes.v.offset + chroma * planes.v.stride + ((i % width) >> 1)];
      return 1.164383 * (noise[i] - 16) + 1.596027 * (v - 128);
    });
    const red = expected.filter((_, i) => i % 3 === 0);
    const wrong = rounded.filter((value, i) => value !== red[i]).length;
    expect(wrong).toBeGreaterThan(100);
    expect(Math.max(...rounded.map((value, i) => Math.abs(value - red[i])))).toBeLessThanOrEqual(3);
  });

  it("takes planes with gaps between rows, and interleaved chroma", () => {
    const chromaWidth = (width + 1) >> 1;
    const chromaHeight = (height + 1) >> 1;
    const luma = new Uint8Array(3 + 64 * height);
    for (let row = 0; row < height; row++) {
      luma.set(noise.subarray(row * width, (row + 1) * width), 3 + row * 64);
    }
    const chroma = new Uint8Array(2 * chromaWidth * chromaHeight);
    for (let i = 0; i < chromaWidth * chromaHeight; i++) {
      chroma[2 * i] = noise[planes.u.offset + i];
      chroma[2 * i + 1] = noise[planes.v.offset + i];
    }
    const stride = 2 * chromaWidth;
    const image = yuv420ToRGB({
      width,
      height,
      y: { data: luma, offset: 3, stride: 64, step: 1 },
      u: { data: chroma, offset: 0, stride, step: 2 },
      v: { data: chroma, offset: 1, stride, step: 2 },
      matrix: "bt709",
      fullRange: false,
    });
    expect(image.data).toEqual(read("noise.bt709.rgb"));
  });

  it("takes any size, one pixel included", () => {
    for (const [w, h] of [
      [1, 1],
      [1, 2],
      [3, 3],
    ]) {
      const grey = new Uint8Array(packedSize(w, h)).fill(128);
      const image = yuv420ToRGB({
        width: w,
        height: h,
        ...packedPlanes(grey, w, h),
        matrix: "bt601",
        fullRange: true,
      });
      expect([...image.data]).toEqual(new Array(w * h * 3).fill(128));
    }
  });

  it("refuses planes that are too short", () => {
    const short = packedPlanes(noise.subarray(0, noise.length - 1), width, height);
    const call = () => yuv420ToRGB({ width, height, ...short, matrix: "bt601", fullRange: false });
    expect(call).toThrow(MediaError);
    expect(call).toThrow(/V plane/);
  });
});
