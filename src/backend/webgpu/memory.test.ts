import { describe, expect, it } from "vitest";
import { nullDevice } from "../../../test/support/null-device.ts";
import type { WebGpuDevice } from "./device.ts";
import { DeviceMemory, ShortLived, usage } from "./memory.ts";

async function memory(): Promise<DeviceMemory> {
  const gpu = await nullDevice();
  const device = { gpu, limits: gpu.limits, settings: {}, check: () => undefined };
  return new DeviceMemory(device as unknown as WebGpuDevice);
}

describe("buffers that come and go", () => {
  it("are used again where they are small and of one size, some of them", async () => {
    const all = await memory();
    const buffers = new ShortLived(all, "output", usage.copyTarget);
    const five = Array.from({ length: 5 }, () => buffers.take(16));
    expect(new Set(five).size).toBe(5);
    expect(all.usedBytes).toBe(80);
    for (const buffer of five) buffers.giveBack(buffer);
    expect(all.usedBytes).toBe(64);
    expect(five.slice(0, 4)).toContain(buffers.take(16));
    expect(five).not.toContain(buffers.take(32));
    expect(all.usedBytes).toBe(96);
  });

  it("are freed where they are large", async () => {
    const all = await memory();
    const buffers = new ShortLived(all, "output", usage.copyTarget);
    const large = buffers.take(8192);
    buffers.giveBack(large);
    expect(all.usedBytes).toBe(0);
    expect(buffers.take(8192)).not.toBe(large);
  });
});
