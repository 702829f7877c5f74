import { describe, expect, it } from "vitest";
import { faultsOf } from "../../../../test/support/null-device.ts";
import { normKernel, wideNormThreads } from "./norm.wgsl.ts";

const shape = { epsilon: 1e-6, wide: true } as const;
const kernels = (["layerNorm", "rmsNorm"] as const).flatMap((kind) =>
  [72, 100, 1024, 4096].flatMap((columns) =>
    (["f32", "f16"] as const).flatMap((result) =>
      [1, 4, 32].map((lanes) =>
        normKernel({ ...shape, kind, columns, result, lanes, threads: wideNormThreads(columns) }),
      ),
    ),
  ),
);

describe("wide norms", () => {
  it.each(kernels.map((kernel) => [kernel.key, kernel] as const))("%s compiles", async (_, kernel) => {
    expect(await faultsOf(kernel)).toEqual([]);
  });

  it("have keys of their own", () => {
    expect(new Set(kernels.map(({ key }) => key)).size).toBe(kernels.length);
    expect(new Set(kernels.map(({ code }) => code)).size).toBe(kernels.length);
  });

  it("hold up to sixteen columns an invocation", () => {
    expect([72, 896, 1024, 2048, 3200, 4096, 8192].map((columns) => wideNormThreads(columns))).toEqual([
      32, 64, 64, 128, 256, 256, 256,
    ]);
    expect(wideNormThreads(8192, 1024)).toBe(512);
  });

  it("say what does not fit them", () => {
    const narrow = { kind: "rmsNorm", columns: 64, epsilon: 1e-6, threads: 32 } as const;
    expect(() => normKernel({ ...narrow, result: "f16" })).toThrow(RangeError);
    expect(() => normKernel({ ...narrow, lanes: 4 })).toThrow(RangeError);
    expect(() => normKernel({ ...narrow, wide: true, columns: 66 })).toThrow(RangeError);
    expect(() => normKernel({ ...narrow, wide: true, lanes: 64 })).toThrow(RangeError);
  });
});
