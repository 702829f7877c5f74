import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RawTensor, safetensorsBytes } from "../../test/safetensors-bytes.ts";
import { CheckpointError, FileError, InternVLError, ShapeError } from "../errors.ts";
import { loadDescription } from "./checkpoint.ts";
import { checkTensors, expectedTensors } from "./expected-tensors.ts";
import { type CheckpointFiles, openBlobs } from "./files.ts";
import { openFolder } from "./folder.node.ts";
import { openCheckpoint } from "./open.ts";

const MODELS = "test/golden/models";
const INDEX = "model.safetensors.index.json";

type Content = Record<string, string | Uint8Array<ArrayBuffer>>;

const memory = (content: Content): CheckpointFiles =>
  openBlobs("memory", new Map(Object.entries(content).map(([name, bytes]) => [name, new Blob([bytes])])));

const tensor = (shape: number[], ...values: number[]): RawTensor => ({
  dtype: "F32",
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

const index = (weight_map: unknown) => JSON.stringify({ metadata: { total_size: -1 }, weight_map });

/** Two shards: a and b in the first, c in the second. */
const sharded = (): Content => ({
  [INDEX]: index({ a: "1.safetensors", b: "1.safetensors", c: "2.safetensors" }),
  "1.safetensors": safetensorsBytes({ a: tensor([3, 2], 0, 1, 2, 3, 4, 5), b: tensor([], 7) }),
  "2.safetensors": safetensorsBytes({ c: tensor([2], 8, 9) }),
});

async function refusal(content: Content): Promise<InternVLError> {
  const error = await openCheckpoint(memory(content)).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InternVLError);
  return error as InternVLError;
}

const floats = (bytes: Uint8Array) => [...new Float32Array(new Uint8Array(bytes).buffer)];

describe("the small checkpoints", () => {
  it.each(readdirSync(MODELS))("%s holds what its config promises", async (name) => {
    for (const mapFrom of [1, Number.POSITIVE_INFINITY]) {
      const files = await openFolder(join(MODELS, name), { mapFrom });
      const description = await loadDescription(files);
      const store = await openCheckpoint(files);
      checkTensors(description, store);
      let values = 0;
      for (const [tensorName, shape] of expectedTensors(description)) {
        const read = await store.readFloats(tensorName);
        const wanted = shape.reduce((a, b) => a * b, 1);
        expect(read.length).toBe(wanted);
        expect(read.every(Number.isFinite)).toBe(true);
        values += wanted;
      }
      expect(values).toBeGreaterThan(500_000);
      await store.close();
    }
  });

  it("reads the rows that lie in the file", async () => {
    const folder = join(MODELS, "tiny-26b");
    const store = await openCheckpoint(await openFolder(folder, { mapFrom: 1 }));
    expect(new Set([...store.tensors.values()].map(({ file }) => file)).size).toBe(2);
    const name = "vision_model.encoder.layers.1.mlp.fc1.weight";
    const { file, start, shape } = store.tensors.get(name)!;
    const bytes = readFileSync(join(folder, file)).subarray(
      start + 5 * shape[1] * 2,
      start + 9 * shape[1] * 2,
    );
    const rows = Buffer.from(await store.readRows(name, 5, 4));
    expect(rows.equals(bytes)).toBe(true);
    // A neighbouring range is told apart.
    expect(Buffer.from(await store.readRows(name, 4, 4)).equals(bytes)).toBe(false);
    await store.close();
  });

  it("opens in a browser's terms, from blobs", async () => {
    const folder = join(MODELS, "tiny-2b");
    const names = ["config.json", "model.safetensors"];
    const files = memory(
      Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))])),
    );
    checkTensors(await loadDescription(files), await openCheckpoint(files));
  });
});

describe("openCheckpoint", () => {
  it("reads tensors and rows across shards", async () => {
    const store = await openCheckpoint(memory(sharded()));
    expect(floats(await store.readRows("a", 1, 2))).toEqual([2, 3, 4, 5]);
    expect(floats(await store.readRows("a", 3, 0))).toEqual([]);
    expect([...(await store.readFloats("b"))]).toEqual([7]);
    expect([...(await store.readFloats("c"))]).toEqual([8, 9]);
  });

  it("refuses rows and names that are not there", async () => {
    const store = await openCheckpoint(memory(sharded()));
    for (const [first, rows] of [
      [0, 4],
      [-1, 1],
      [3, 1],
      [0.5, 1],
      [0, Number.NaN],
      [0, -1],
    ])
      await expect(store.readRows("a", first, rows)).rejects.toThrow(ShapeError);
    await expect(store.readRows("a", 2, 2)).rejects.toThrow("a: rows 2 to 4 do not lie in its 3 rows");
    await expect(store.readFloats("toString")).rejects.toThrow(CheckpointError);
  });

  it("names the number format of a tensor it cannot read, when it is read", async () => {
    const ids = { dtype: "I64", shape: [1], bytes: new Uint8Array(8) };
    const store = await openCheckpoint(
      memory({ "model.safetensors": safetensorsBytes({ ids, a: tensor([1], 1) }) }),
    );
    expect(store.tensors.has("ids")).toBe(false);
    expect(store.unreadable.get("ids")).toMatchObject({ dtype: "I64" });
    await expect(store.readFloats("ids")).rejects.toThrow("is stored as I64; BF16, F16 and F32 can be read");
  });

  it("says what it looked for", async () => {
    const error = await refusal({ "config.json": "{}" });
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toContain(`memory: holds neither model.safetensors nor ${INDEX}`);
  });

  it("names the missing shard", async () => {
    const { "2.safetensors": _, ...rest } = sharded();
    const error = await refusal(rest);
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toContain("2.safetensors missing, of the 2 shards");
  });

  it("wants the index and the shards to agree", async () => {
    const cases: [unknown, string][] = [
      [
        { a: "1.safetensors", b: "1.safetensors", c: "2.safetensors", d: "2.safetensors" },
        "2.safetensors: d: is not in this file",
      ],
      [{ a: "1.safetensors", c: "2.safetensors" }, "1.safetensors: b: is not listed in"],
      [
        { a: "1.safetensors", b: "2.safetensors", c: "2.safetensors" },
        `1.safetensors: b: lies here, and ${INDEX} says in 2`,
      ],
    ];
    for (const [map, words] of cases)
      expect((await refusal({ ...sharded(), [INDEX]: index(map) })).message).toContain(words);
  });

  it("refuses an index that leads out of its folder, or is none", async () => {
    const outside = [
      "../1.safetensors",
      "/1.safetensors",
      "x/1.safetensors",
      "..\\1.safetensors",
      "c:1.safetensors",
    ];
    for (const shard of [...outside, "", "1.bin", 3, null, {}]) {
      const error = await refusal({ ...sharded(), [INDEX]: index({ a: shard }) });
      expect(error).toBeInstanceOf(CheckpointError);
      expect(error.message).toContain("is not the name of a safetensors file");
    }
    for (const text of ["", "null", "[]", "{}", index([]), index({}), index(null), '{"weight_map":3}'])
      expect(await refusal({ ...sharded(), [INDEX]: text })).toBeInstanceOf(CheckpointError);
  });

  it("takes model.safetensors where both are, as the reference does", async () => {
    const single = { "model.safetensors": safetensorsBytes({ only: tensor([1], 3) }) };
    const store = await openCheckpoint(memory({ ...sharded(), ...single }));
    expect([...store.tensors.keys()]).toEqual(["only"]);
  });

  it("gives the right tensors or a typed error for any damage", async () => {
    const good = sharded();
    const bytesOf = (name: string) => {
      const content = good[name];
      return typeof content === "string" ? new TextEncoder().encode(content) : content;
    };
    const damage = fc.constantFrom(...Object.keys(good)).chain((name) =>
      fc.record({
        name: fc.constant(name),
        at: fc.nat(bytesOf(name).length - 1),
        to: fc.nat(255),
        cut: fc.option(fc.nat(bytesOf(name).length - 1)),
      }),
    );
    await fc.assert(
      fc.asyncProperty(damage, async ({ name, at, to, cut }) => {
        const bytes = new Uint8Array(bytesOf(name));
        bytes[at] = to;
        try {
          const store = await openCheckpoint(
            memory({ ...good, [name]: bytes.slice(0, cut ?? bytes.length) }),
          );
          for (const each of store.tensors.keys()) await store.readFloats(each);
          expect(store.tensors.size + store.unreadable.size).toBe(3);
        } catch (error) {
          if (!(error instanceof CheckpointError || error instanceof FileError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
