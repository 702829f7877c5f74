import { describe, expect, it } from "vitest";
import { nativeVariants } from "../../../test/backend-comparison.ts";
import { openNativeMachine } from "./native-machine.node.ts";

const variants = await nativeVariants();

describe.skipIf(variants.length === 0)("the limits of this machine", () => {
  it.each(variants)("are measured with the instructions of %s", async (variant) => {
    const machine = await openNativeMachine({ variant });
    if ("absent" in machine) throw new Error(machine.absent);
    const { limits } = machine;
    // A shared machine may be slow, but not a hundred times; and none reads 10 TB/s or does 1 PFLOP/s.
    expect(await limits!.readRate(2 ** 26)).toBeGreaterThan(1e8);
    expect(await limits!.readRate(2 ** 26)).toBeLessThan(1e13);
    const f32 = await limits!.productRate("f32");
    expect(f32).toBeGreaterThan(1e8);
    expect(f32).toBeLessThan(1e15);
    const narrow = [await limits!.productRate("bf16"), await limits!.productRate("int8")];
    const hasInstructions = variant === "amx" || variant === "avx512bf16";
    for (const rate of narrow) {
      if (hasInstructions) expect(rate).toBeGreaterThan(f32 / 4);
      else expect(rate).toBe(0);
    }
  });

  it("is nothing where there is no memory for the buffer", async () => {
    const machine = await openNativeMachine();
    if ("absent" in machine) throw new Error(machine.absent);
    expect(await machine.limits!.readRate(2 ** 60)).toBe(0);
  });
});
