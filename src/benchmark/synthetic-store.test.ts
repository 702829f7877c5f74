import { describe, expect, it } from "vitest";
import { widen } from "../checkpoint/dtypes.ts";
import { checkTensors, expectedTensors } from "../checkpoint/expected-tensors.ts";
import type { Checkpoint } from "../checkpoint/open.ts";
import { publishedConfigs } from "../checkpoint/published.ts";
import { ShapeError } from "../errors.ts";
import { syntheticSubject } from "./shapes.ts";
import { SyntheticStore } from "./synthetic-store.ts";

const { description } = syntheticSubject("1b");
const store = new SyntheticStore(description);
const w1 = "language_model.model.layers.3.mlp.gate_proj.weight"; // [4864, 896]

describe("a made-up checkpoint", () => {
  it.each(Object.keys(publishedConfigs))("has every tensor of %s in its shape", (name) => {
    const subject = syntheticSubject(name);
    const wanted = expectedTensors(subject.description);
    expect(subject.store.tensors.size).toBe(wanted.size);
    const checked = {
      ...subject.store,
      tensors: subject.store.tensors,
      unreadable: new Map(),
      label: "made up",
    };
    expect(() => checkTensors(subject.description, checked as Checkpoint)).not.toThrow();
    const missing = new Map(subject.store.tensors);
    missing.delete("mlp1.3.weight");
    expect(() =>
      checkTensors(subject.description, { ...checked, tensors: missing } as unknown as Checkpoint),
    ).toThrow("mlp1.3.weight");
  });

  it("gives the same rows however they are asked for, and every time", async () => {
    const all = await store.readRows(w1, 0, 4864);
    expect(all.length).toBe(4864 * 896 * 2);
    const some = await new SyntheticStore(description).readRows(w1, 4000, 33);
    expect(some).toEqual(all.subarray(4000 * 1792, 4033 * 1792));
    const embeddings = "language_model.model.embed_tokens.weight"; // more than one view holds
    const whole = await store.readRows(embeddings, 0, 151655);
    expect(whole.length).toBe(151655 * 896 * 2);
    expect(await store.readRows(embeddings, 150000, 7)).toEqual(whole.subarray(150000 * 1792, 150007 * 1792));
  });

  it("gives views of one buffer, so that reading costs nothing", async () => {
    const [a, b] = await Promise.all([store.readRows(w1, 0, 64), store.readRows(w1, 64, 64)]);
    expect(a.buffer).toBe(b.buffer);
  });

  it("has normal values of deviation 1/64 in matrices, no two rows alike, and ones in scales", async () => {
    const values = widen("BF16", await store.readRows(w1, 0, 1000));
    const mean = values.reduce((a, b) => a + b) / values.length;
    const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(1e-4);
    expect(deviation * 64).toBeGreaterThan(0.99);
    expect(deviation * 64).toBeLessThan(1.01);
    const rows = new Set(
      Array.from({ length: 1000 }, (_, r) => values.subarray(r * 896, r * 896 + 8).join()),
    );
    expect(rows.size).toBe(1000);
    for (const name of ["language_model.model.norm.weight", "vision_model.encoder.layers.0.ls1"]) {
      expect(new Set(await store.readFloats(name))).toEqual(new Set([1]));
    }
    expect(await store.readFloats("mlp1.3.bias")).not.toContain(1);
  });

  it("refuses rows and tensors that are not there", () => {
    expect(() => store.readRows(w1, 4800, 65)).toThrow(ShapeError);
    expect(() => store.readRows("w1", 0, 1)).toThrow(ShapeError);
  });
});
