import { describe, expect, it } from "vitest";
import { MemoryError } from "../errors.ts";
import { engineSizes } from "./conversations.ts";
import { checkMemory, memoryNeeds } from "./memory.ts";
import { resolveBenchmarkOptions } from "./options.ts";
import { syntheticSubject } from "./shapes.ts";

const subject = syntheticSubject("8b");
const sizes = engineSizes(subject.description, resolveBenchmarkOptions({}, subject.description), 512);
const needsOf = (weights: "checkpoint" | "int8" | "int4") => memoryNeeds(subject, weights, sizes, 2);

describe("the memory of a benchmark of the 8B", () => {
  it("is the weights', the cache's and the activations'", async () => {
    const { weights, cache, activations, total } = await needsOf("checkpoint");
    expect(weights / 1e9).toBeCloseTo(16.15, 1); // the published size
    // 1,856 + 32 tokens and a little, of 128 KiB each.
    expect(cache / 2 ** 17).toBeGreaterThan(1888);
    expect(cache / 2 ** 17).toBeLessThan(2200);
    // 512 rows of 14,336 f32 at least.
    expect(activations).toBeGreaterThan(512 * 14336 * 4);
    expect(activations).toBeLessThan(1.5e9);
    expect(total).toBeGreaterThan(weights + cache + activations);
  });

  it("is checked: the error says what is needed, what is free, and what would fit", async () => {
    const { total } = await needsOf("checkpoint");
    await expect(checkMemory(needsOf, "checkpoint", total)).resolves.toBeDefined();
    const error = await checkMemory(needsOf, "checkpoint", 12e9).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MemoryError);
    expect((error as MemoryError).needed).toBe(total);
    expect((error as MemoryError).message).toMatch(/12\.0 GB are free.*int8 \(\d+\.\d GB\) or int4/);
    await expect(checkMemory(needsOf, "checkpoint", 8e9)).rejects.toThrow(/weights of int4 \(/);
    await expect(checkMemory(needsOf, "int8", 4e9)).rejects.toThrow("take fewer layers");
  });

  it("grows with the conversations", async () => {
    const many = engineSizes(
      subject.description,
      resolveBenchmarkOptions({ batch: 8 }, subject.description),
      512,
    );
    const { cache } = await memoryNeeds(subject, "int4", many, 2);
    expect(cache / (await needsOf("int4")).cache).toBeGreaterThan(7.9);
  });
});
