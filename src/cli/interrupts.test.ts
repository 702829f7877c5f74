import { describe, expect, it } from "vitest";
import { Cancelled, Interrupts } from "./interrupts.ts";

/** Work that ends only when it is told to. */
const forever = (signal: AbortSignal) =>
  new Promise<void>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

describe("Interrupts", () => {
  it("ends the part, then the whole, then leaves", async () => {
    let left = 0;
    const interrupts = new Interrupts(() => left++);
    const part = interrupts.part(forever);
    interrupts.interrupt();
    expect(await part).toBe(false);
    expect(interrupts.signal.aborted).toBe(false);
    interrupts.interrupt();
    expect(interrupts.signal.reason).toEqual(new Cancelled(130));
    expect(left).toBe(0);
    interrupts.interrupt();
    expect(left).toBe(1);
  });

  it("says when a part was done, and passes its errors on", async () => {
    const interrupts = new Interrupts(() => undefined);
    expect(await interrupts.part(async () => undefined)).toBe(true);
    await expect(interrupts.part(() => Promise.reject(new Error("own")))).rejects.toThrow("own");
  });

  it("ends a part together with the whole", async () => {
    const interrupts = new Interrupts(() => undefined);
    const part = interrupts.part(forever);
    interrupts.end(new Cancelled(143));
    await expect(part).rejects.toEqual(new Cancelled(143));
    await expect(interrupts.part(forever)).rejects.toEqual(new Cancelled(143));
  });
});
