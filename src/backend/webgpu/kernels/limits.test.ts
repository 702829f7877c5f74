import { describe, expect, it } from "vitest";
import { faultsOf } from "../../../../test/support/null-device.ts";
import { fmaLimitKernel, matrixLimitKernel, readLimitKernel } from "./limits.wgsl.ts";

describe("kernels that measure limits", () => {
  it.each(
    [readLimitKernel(), fmaLimitKernel(), matrixLimitKernel()].map((kernel) => [kernel.key, kernel] as const),
  )("%s compiles", async (_, kernel) => {
    expect(await faultsOf(kernel)).toEqual([]);
  });
});
