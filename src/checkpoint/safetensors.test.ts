import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RawTensor, safetensorsBytes, withHeader } from "../../test/safetensors-bytes.ts";
import { CheckpointError } from "../errors.ts";
import { openBlobs } from "./files.ts";
import { readHeader } from "./safetensors.ts";

const read = (bytes: Uint8Array<ArrayBuffer>) =>
  readHeader(openBlobs("memory", new Map([["x.safetensors", new Blob([bytes])]])), "x.safetensors");

const zeros = (dtype: string, shape: number[], bytes: number): RawTensor => ({
  dtype,
  shape,
  bytes: new Uint8Array(bytes),
});

async function refusal(bytes: Uint8Array<ArrayBuffer>): Promise<CheckpointError> {
  const error = await read(bytes).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

const sample = () =>
  safetensorsBytes(
    {
      a: zeros("BF16", [2, 3], 12),
      b: zeros("F32", [], 4),
      none: zeros("F16", [0, 7], 0),
      ids: zeros("I64", [2], 16),
      packed: zeros("F4", [4], 2),
    },
    { __metadata__: { format: "pt" } },
  );

/** The sample with its header written anew by `change`. */
function changed(change: (header: Record<string, Record<string, unknown>>) => void, tail = 0) {
  const bytes = sample();
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  change(header);
  return withHeader(JSON.stringify(header), [bytes.subarray(8 + length), new Uint8Array(tail)]);
}

describe("readHeader", () => {
  it("says where each tensor lies", async () => {
    const tensors = await read(sample());
    const dataStart = sample().length - 34;
    expect(tensors.get("a")).toEqual({
      name: "a",
      dtype: "BF16",
      shape: [2, 3],
      file: "x.safetensors",
      start: dataStart,
      end: dataStart + 12,
    });
    expect([...tensors.keys()]).toEqual(["a", "b", "none", "ids", "packed"]);
    expect(tensors.get("b")).toMatchObject({ shape: [], start: dataStart + 12, end: dataStart + 16 });
    expect(tensors.get("none")).toMatchObject({ start: dataStart + 16, end: dataStart + 16 });
  });

  it("takes a header that is padded with spaces, and an empty file of tensors", async () => {
    expect((await read(withHeader("{}   "))).size).toBe(0);
  });

  it("refuses a file too short for its length", async () => {
    expect((await refusal(new Uint8Array(7))).message).toContain("has 7 bytes");
  });

  it("refuses headers beyond the limit and beyond the file, without making room for them", async () => {
    expect((await refusal(withHeader("{}", [], 100_000_001n))).message).toContain("100000000 are allowed");
    expect((await refusal(withHeader("{}", [], 2n ** 64n - 1n))).message).toContain("18446744073709551615");
    expect((await refusal(withHeader("{}", [], 3n))).message).toContain("ends at byte 11, the file at 10");
  });

  it("refuses a header that is no JSON object", async () => {
    for (const text of [
      "",
      "{",
      "[]",
      "null",
      "3",
      '"x"',
      '{"a":1}',
      '{"a":null}',
      '{"__metadata__":{"x":1}}',
    ])
      await refusal(withHeader(text));
    const notUtf8 = withHeader('{"a":"b"}');
    notUtf8[10] = 0xff;
    expect((await refusal(notUtf8)).message).toContain("is not JSON");
  });

  const broken: [string, (header: Record<string, Record<string, unknown>>) => void, string, string?][] = [
    ["an unknown dtype", ({ a }) => (a.dtype = "BF17"), "its dtype is none of", "a"],
    ["a dtype that every object has", ({ a }) => (a.dtype = "toString"), "its dtype is none of", "a"],
    ["a negative size", ({ a }) => (a.shape = [-2, -3]), "whole numbers", "a"],
    ["a broken size", ({ a }) => (a.shape = [1.5, 4]), "whole numbers", "a"],
    ["a size beyond all bounds", ({ a }) => (a.shape = [2 ** 52, 2 ** 52]), "data_offsets hold 12", "a"],
    [
      "too few bytes",
      ({ a }) => (a.shape = [2, 4]),
      "BF16 [2, 4] takes 16 bytes, its data_offsets hold 12",
      "a",
    ],
    ["half a byte", ({ packed }) => (packed.shape = [3]), "takes 1.5 bytes", "packed"],
    ["bytes of an unread dtype", ({ ids }) => (ids.shape = [3]), "I64 [3] takes 24 bytes", "ids"],
    ["backward offsets", ({ b }) => (b.data_offsets = [16, 12]), "hold -4", "b"],
    ["one offset", ({ b }) => (b.data_offsets = [12]), "two whole numbers", "b"],
    ["overlap", ({ b }) => (b.data_offsets = [8, 12]), "inside another tensor", "b"],
    ["a gap", (header) => delete header.b, "are no tensor's", "none"],
    ["bytes after the end", (header) => delete header.packed, "its tensors end at byte", undefined],
    [
      "an end beyond the file",
      ({ packed }) => {
        packed.shape = [400];
        packed.data_offsets = [32, 232];
      },
      "download it again",
      "packed",
    ],
  ];
  it.each(broken)("refuses %s", async (_, change, words, tensor) => {
    const error = await refusal(changed(change));
    expect(error.message).toContain(words);
    expect(error.where).toBe(tensor);
    expect(error.file).toBe("x.safetensors");
  });

  it("takes any name for a tensor", async () => {
    const names = ["", "__proto__", "constructor", "a b", "7", "字"];
    const tensors = Object.fromEntries(names.map((name) => [name, zeros("BF16", [1], 2)]));
    expect([...(await read(safetensorsBytes(tensors))).keys()].sort()).toEqual([...names].sort());
  });

  it("takes the sample itself: what is refused above is refused for its change", async () => {
    expect((await read(changed(() => {}))).size).toBe(5);
    await refusal(changed(() => {}, 1));
  });

  it("finds a key written twice by the bytes it leaves over", async () => {
    const entry = (from: number) => `"a":{"dtype":"U8","shape":[1],"data_offsets":[${from},${from + 1}]}`;
    const error = await refusal(withHeader(`{${entry(0)},${entry(1)}}`, [new Uint8Array(2)]));
    expect(error.message).toContain("are no tensor's");
  });

  it("gives the right table or a CheckpointError for any damage", async () => {
    const good = sample();
    const wanted = await read(good);
    const damage = fc.record({
      cut: fc.option(fc.nat(good.length)),
      flips: fc.array(fc.record({ at: fc.nat(good.length - 1), to: fc.nat(255) }), { maxLength: 3 }),
      added: fc.uint8Array({ maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ cut, flips, added }) => {
        const bytes = new Uint8Array(good);
        for (const { at, to } of flips) bytes[at] = to;
        const damaged = new Uint8Array([...bytes.subarray(0, cut ?? bytes.length), ...added]);
        try {
          const tensors = await read(damaged);
          // Only names, dtypes of one size and the data itself can change unseen.
          expect(damaged.length).toBe(good.length);
          for (const { start, end } of tensors.values())
            expect(0 <= start && start <= end && end <= damaged.length).toBe(true);
          if (flips.length === 0) expect(tensors).toEqual(wanted);
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
        }
      }),
      { numRuns: 1500 },
    );
  });

  it("reads back any set of tensors", async () => {
    const tensor = fc.record({
      dtype: fc.constantFrom("BF16", "F16"),
      shape: fc.array(fc.nat(4), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), tensor, { maxKeys: 6 }), async (tensors) => {
        delete tensors.__metadata__;
        const raw = Object.fromEntries(
          Object.entries(tensors).map(([name, { dtype, shape }]) => [
            name,
            zeros(dtype, shape, 2 * shape.reduce((a, b) => a * b, 1)),
          ]),
        );
        const found = await read(safetensorsBytes(raw));
        expect(found.size).toBe(Object.keys(raw).length);
        for (const [name, { shape, bytes }] of Object.entries(raw)) {
          const { start, end } = found.get(name)!;
          expect([found.get(name)!.shape, end - start]).toEqual([shape, bytes.length]);
        }
      }),
      { numRuns: 200 },
    );
  });
});
