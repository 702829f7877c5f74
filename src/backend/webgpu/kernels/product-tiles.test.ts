import { describe, expect, it } from "vitest";
import { nullDevice } from "../../../../test/support/null-device.ts";
import { dotGemv, dotGemvBytes } from "./dot-gemv.wgsl.ts";
import { gemv } from "./gemv.wgsl.ts";
import { matrixGemm } from "./matrix-gemm.wgsl.ts";
import { dotSharings, gemvSharings, matrixTiles } from "./product-tiles.ts";

const formats = ["f32", "f16", "bf16", "int8", "int4"] as const;

async function errorsOf(code: string): Promise<string[]> {
  const { messages } = await (await nullDevice()).createShaderModule({ code }).getCompilationInfo();
  return messages.filter(({ type }) => type === "error").map(({ message }) => message);
}

describe("where the search for the fastest products begins", () => {
  it.each([4, 16, 17, 64, 1856])(
    "tiles for %d rows fit the products of InternVL2-8B, gated ones too",
    async (rows) => {
      for (const gated of [false, true]) {
        expect(matrixTiles(rows, gated).length).toBeGreaterThan(1);
        for (const tile of matrixTiles(rows, gated)) {
          const options = {
            columns: 4096,
            outputs: 6144,
            format: "int4",
            input: "f16",
            tile,
            gated,
          } as const;
          expect(await errorsOf(matrixGemm(options).code)).toEqual([]);
        }
      }
    },
  );

  it.each(formats)("sharings for %s are kernels of their own", async (format) => {
    const kernels = gemvSharings[format].map((sharing) =>
      gemv({ columns: 14336, outputs: 4096, format, rows: 1, ...sharing }),
    );
    expect(new Set(kernels.map(({ key }) => key)).size).toBe(kernels.length);
    for (const { code } of kernels) expect(await errorsOf(code)).toEqual([]);
    expect(await errorsOf(kernels[0].code.replace("subgroupAdd", "subgroupAddd"))).not.toEqual([]);
  });

  it("sharings of integer products are kernels of their own, and fit 32 KiB for every product of InternVL2-8B", async () => {
    const keys = new Set<string>();
    for (const format of ["int8", "int4"] as const) {
      for (const sharing of dotSharings[format]) {
        for (const gated of [false, true]) {
          const options = { outputs: 4096, format, rows: 1, lanes: 32, gated, ...sharing };
          const kernel = dotGemv({ ...options, columns: 4096 });
          keys.add(kernel.key);
          expect(await errorsOf(kernel.code)).toEqual([]);
          expect(dotGemvBytes({ ...options, columns: 14336 })).toBeLessThan(2 ** 15);
        }
      }
    }
    expect(keys.size).toBe(2 * (dotSharings.int8.length + dotSharings.int4.length));
  });
});
