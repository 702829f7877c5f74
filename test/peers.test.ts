import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const load = (file: string) => import(new URL(`../bench/peers/${file}`, import.meta.url).href);
const { writeGguf } = await load("gguf.mjs");
const { writeLanguage } = await load("onnx-models.mjs");
const { extrapolate, tableOf } = await load("table.mjs");

const language = {
  hiddenSize: 256,
  intermediateSize: 512,
  heads: 4,
  keyValueHeads: 2,
  headSize: 64,
  vocabularySize: 300,
  contextLength: 1024,
  normEpsilon: 1e-5,
  rope: { theta: 1e6 },
};
const folder = mkdtempSync(join(tmpdir(), "internvl-peers-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A GGUF file's tensors, with where they begin, and where the file says its data does. */
function readGguf(file: Buffer) {
  let at = 4;
  const skip = (bytes: number) => {
    at += bytes;
    return at - bytes;
  };
  const u32 = () => file.readUInt32LE(skip(4));
  const u64 = () => Number(file.readBigUInt64LE(skip(8)));
  const text = () => {
    const length = u64();
    return file.toString("utf8", skip(length), at);
  };
  const value = (type: number): unknown => {
    if (type === 8) return text();
    if (type === 7) return file[skip(1)] === 1;
    if (type === 9) {
      const of = u32();
      return Array.from({ length: u64() }, () => value(of));
    }
    return u32();
  };
  const version = u32();
  const [tensors, entries] = [u64(), u64()];
  const metadata = new Map(
    Array.from({ length: entries }, () => {
      const key = text();
      return [key, value(u32())] as const;
    }),
  );
  const infos = Array.from({ length: tensors }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64);
    return { name, shape, type: u32(), offset: u64() };
  });
  return { version, metadata, infos, data: Math.ceil(at / 32) * 32 };
}

describe("the files that other engines are given", () => {
  it.each([
    ["BF16", 30, 2, 30],
    ["Q8_0", 8, 34 / 32, 8],
    ["Q4_0", 2, 18 / 32, 14],
  ])("GGUF with %s weights is whole", (type, number, bytesPerValue, head) => {
    const path = join(folder, `${type}.gguf`);
    const bytes = writeGguf(path, language, 2, type) as number;
    const file = readFileSync(path);
    expect(file.length).toBe(bytes);
    expect(file.toString("latin1", 0, 4)).toBe("GGUF");
    const { version, metadata, infos, data } = readGguf(file);
    expect(version).toBe(3);
    expect(metadata.get("llama.attention.head_count_kv")).toBe(2);
    expect(metadata.get("tokenizer.ggml.tokens")).toHaveLength(300);
    expect(infos.map(({ name }) => name)).toContain("blk.1.ffn_down.weight");
    expect(infos).toHaveLength(2 * 9 + 3);
    expect(infos.find(({ name }) => name === "output.weight")!.type).toBe(head);
    const gate = infos.findIndex(({ name }) => name === "blk.0.ffn_gate.weight");
    expect(infos[gate]).toMatchObject({ shape: [256, 512], type: number });
    expect(infos[gate + 1].offset - infos[gate].offset).toBe(256 * 512 * bytesPerValue);
    expect(data + infos.at(-1)!.offset).toBeLessThan(file.length);
    // No block's scale is zero or infinite: the first bytes of the tensor are a scale or a value.
    const first = file.readUInt16LE(data + infos[gate].offset);
    if (type !== "BF16") expect(first).toBeGreaterThan(0x400);
    if (type !== "BF16") expect(first).toBeLessThan(0x7c00);
  });

  it.each([
    ["f32", 4],
    ["int8", 1],
    ["int4", 0.5 + 4 / 32],
  ])("ONNX with %s weights has all of them beside it", (kind, bytesPerValue) => {
    const path = join(folder, `${kind}.onnx`);
    const bytes = writeLanguage(path, language, 2, kind, 64) as number;
    const values = 2 * (512 * 256 + 256 * 256 + 3 * 512 * 256) + 300 * 256;
    expect(bytes).toBe(values * bytesPerValue);
    expect(statSync(`${path}.data`).size).toBeGreaterThanOrEqual(bytes);
    expect(readFileSync(path).includes(`${kind}.onnx.data`)).toBe(true);
  });
});

describe("their table", () => {
  it("extrapolates along the line through both numbers of layers", () => {
    expect(extrapolate([2, 8], [30, 90], 32)).toBe(330);
    expect(extrapolate([2, 8], [30, 91], 32)).not.toBe(330);
    expect(extrapolate([2, 8], [30, 29], 32)).toBeUndefined();
  });

  it("has medians of what ran, says what is extrapolated, and names what failed", () => {
    const run = (prefill: number) => ({ prefill, decode: [10, 11, 90], tile: 5 });
    const text = tableOf({
      task: {
        shape: "8b",
        model: { language: { layers: 32 }, vision: { layers: 24 } },
        promptTokens: 100,
        newTokens: 3,
      },
      counts: [2, 8],
      runs: { a: { 2: [run(50)], 8: [run(100), run(300), run(200)] }, b: { 2: [], 8: [] } },
      failures: { b: "no memory" },
      contenders: { a: { name: "one", weights: "bf16" }, b: { name: "two", weights: "int8" } },
      machine: "a machine",
      loads: [0.5, 1],
      rounds: 3,
    }) as string;
    expect(text).toContain(
      "| one | bf16 | 200 (100-300) | 500.0 | 11.0 (11.0-11.0) | 90.91 | 5.0 (5.0-5.0) | *0.8* |",
    );
    expect(text).toContain("failed: no memory");
    expect(text).toContain("extrapolated to 32 layers from 2 and 8, not measured");
  });
});
