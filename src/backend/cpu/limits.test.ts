import { describe, expect, it } from "vitest";
import { kernelVariants } from "../../../test/backend-comparison.ts";
import { openMachine } from "./open-machine.ts";

const variants = await kernelVariants();
const withBf16 = ["amx", "avx512bf16"];
const withInt8 = [...withBf16, "simd128", "relaxed"];

async function opened(variant: string) {
  const result = await openMachine(variant, { lanes: 2 });
  if ("absent" in result) throw new Error(result.absent);
  return result.machine;
}

describe.each(variants)("the limits of this machine, %s", (variant) => {
  it("are measured with its instructions", async () => {
    const machine = await opened(variant);
    const { limits } = machine;
    // A shared machine may be slow, but not a hundred times; and none reads 10 TB/s or does 1 PFLOP/s.
    const read = await limits!.readRate(2 ** 26);
    expect(read).toBeGreaterThan(1e8);
    expect(read).toBeLessThan(1e13);
    const f32 = await limits!.productRate("f32");
    expect(f32).toBeGreaterThan(1e8);
    expect(f32).toBeLessThan(1e15);
    for (const [kind, having] of [
      ["bf16", withBf16],
      ["int8", withInt8],
    ] as const) {
      const rate = await limits!.productRate(kind);
      if (having.includes(variant)) expect(rate, kind).toBeGreaterThan(f32 / 4);
      else expect(rate, kind).toBe(0);
    }
    await machine.dispose();
  });

  it("are nothing where there is no memory for the buffer", async () => {
    const machine = await opened(variant);
    if (machine.kind === "native") expect(await machine.limits!.readRate(2 ** 60)).toBe(0);
    else {
      // A buffer of half a gigabyte at most: what is left is less.
      machine.allocate(machine.availableBytes() - 2 ** 28);
      expect(await machine.limits!.readRate(2 ** 60)).toBe(0);
    }
    await machine.dispose();
  });
});
