import { describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../test/support/adapters.ts";
import { WebGpuBackend } from "./backend.ts";
import { ColdClock } from "./cold-clock.ts";
import { CompiledDispatches } from "./encoded.ts";
import { limitWorkgroups, readLimitKernel } from "./kernels/limits.wgsl.ts";
import { inBuffer, status, statusWords } from "./lower/dispatch.ts";
import { usage } from "./memory.ts";

describe.each(await presentAdapters("lavapipe", "SwiftShader"))("a cold clock on %s", (adapter) => {
  it("takes off what it reads beforehand, and gives back its memory", async () => {
    const backend = new WebGpuBackend(await openAdapter(adapter), "f32");
    const { device, memory, pipelines, arena } = backend;
    if (!device.features.has("timestamp-query")) return;
    const around = { arena: arena.reserve(2 ** 16), cache: undefined };
    const buffer = memory.allocate("read", 2 ** 26, usage.storage);
    const reading = async (bytes: number, times: number) => {
      const dispatch = {
        kernel: readLimitKernel(),
        places: [inBuffer(buffer), status(statusWords.badId)],
        sizes: [bytes / 16],
        workgroups: [limitWorkgroups, 1, 1] as const,
      };
      const all = new Array(times).fill(dispatch);
      const compiled = await CompiledDispatches.compile(device, memory, pipelines, all);
      return { compiled, groups: compiled.bind(around) };
    };
    const [little, much] = [await reading(2 ** 12, 1), await reading(2 ** 26, 3)];
    const before = memory.usedBytes;
    const clock = new ColdClock(backend, 2 ** 16);
    const times = { little: await clock.milliseconds(little), much: await clock.milliseconds(much) };
    clock.dispose();
    expect(memory.usedBytes).toBe(before);
    expect(times.much).toBeGreaterThan(0);
    // Both stand behind a reading of two thirds of the larger: if that counted, they would be nearer to each other.
    expect(times.little).toBeLessThan(times.much / 4);
    await backend[Symbol.asyncDispose]();
  });
});
