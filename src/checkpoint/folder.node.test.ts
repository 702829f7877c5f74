import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { afterAll, describe, expect, it, vi } from "vitest";
import { DisposedError, FileError } from "../errors.ts";
import { openFolder } from "./folder.node.ts";
import { loadMapper } from "./map.node.ts";
import { openCheckpoint } from "./open.ts";

const root = mkdtempSync(join(tmpdir(), "internvl-folder-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const content = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) ^ (i >> 8));
writeFileSync(join(root, "data.bin"), content);
writeFileSync(join(root, "empty"), "");
mkdirSync(join(root, "inner"));
writeFileSync(join(root, "inner", "x.txt"), "inside");

const canMap = (await loadMapper()) !== undefined;
/** Both ways of reading. */
const ways: [string, number][] = [
  ["positioned reads", Number.POSITIVE_INFINITY],
  ...(canMap ? [["mapped", 1] as [string, number]] : []),
];

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe.each(ways)("openFolder, %s", (_, mapFrom) => {
  it("reads whole files and any part", async () => {
    const files = await openFolder(root, { mapFrom });
    expect(files.mapped).toBe(mapFrom === 1);
    expect(files.label).toBe(root);
    expect(await files.size("data.bin")).toBe(10_000);
    expect(Buffer.from(await files.read("data.bin")).equals(content)).toBe(true);
    await fc.assert(
      fc.asyncProperty(fc.nat(10_000), fc.nat(10_000), async (a, b) => {
        const [start, end] = a < b ? [a, b] : [b, a];
        const piece = Buffer.from(await files.read("data.bin", start, end));
        expect(piece.equals(content.subarray(start, end))).toBe(true);
        if (end < 10_000 && end > start)
          expect(piece.equals(content.subarray(start + 1, end + 1))).toBe(false);
      }),
    );
    expect(await files.read("empty")).toEqual(new Uint8Array(0));
    expect(new TextDecoder().decode(await files.read("inner/x.txt"))).toBe("inside");
    await files.close();
  });

  it("refuses ranges beyond the file", async () => {
    const files = await openFolder(root, { mapFrom });
    for (const [start, end] of [
      [0, 10_001],
      [-1, 5],
      [6, 5],
      [0.5, 5],
      [Number.NaN, 5],
    ])
      await expect(files.read("data.bin", start, end)).rejects.toThrow(FileError);
    await files.close();
  });

  it("refuses use after close, and takes a second close", async () => {
    const files = await openFolder(root, { mapFrom });
    await files.read("data.bin");
    await files.close();
    await files.close();
    await expect(files.read("data.bin")).rejects.toThrow(DisposedError);
    await expect(files.size("data.bin")).rejects.toThrow(DisposedError);
  });

  it("gives bytes or a typed error to reads that meet a close", async () => {
    for (let ticks = 0; ticks < 12; ticks++) {
      const files = await openFolder(root, { mapFrom });
      const reading = files.read("data.bin", 0, 100).then(
        (bytes) => expect([...bytes]).toEqual([...content.subarray(0, 100)]),
        (error: unknown) => expect(error instanceof DisposedError || error instanceof FileError).toBe(true),
      );
      for (let i = 0; i < ticks; i++) await (ticks % 2 ? wait(0) : undefined);
      await files.close();
      await reading;
    }
  });

  it("reads tensors beyond 4 GiB", async () => {
    const folder = join(root, `large-${mapFrom}`);
    mkdirSync(folder);
    // A sparse file: two bf16 tensors, the second beyond 4 GiB, and nothing but its values on the disk.
    const firstRows = 2 ** 17 + 1;
    const firstBytes = firstRows * 2 ** 14 * 2;
    const header = JSON.stringify({
      first: { dtype: "BF16", shape: [firstRows, 2 ** 14], data_offsets: [0, firstBytes] },
      second: { dtype: "BF16", shape: [2, 2], data_offsets: [firstBytes, firstBytes + 8] },
    });
    const start = 8 + header.length;
    const path = join(folder, "model.safetensors");
    const handle = await open(path, "w");
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(header.length));
    await handle.write(Buffer.concat([prefix, Buffer.from(header)]), 0, start, 0);
    const last = Uint8Array.of(0x80, 0x3f, 0x00, 0x40);
    await handle.write(last, 0, 4, start + firstBytes - 4);
    await handle.write(
      Uint8Array.of(0x40, 0x40, 0x80, 0x40, 0xa0, 0x40, 0xc0, 0x40),
      0,
      8,
      start + firstBytes,
    );
    await handle.close();

    const files = await openFolder(folder, { mapFrom });
    const store = await openCheckpoint(files);
    expect(files.mapped).toBe(mapFrom === 1);
    expect(store.tensors.get("second")!.start).toBeGreaterThan(2 ** 32);
    expect(await store.readFloats("second")).toEqual(Float32Array.of(3, 4, 5, 6));
    const row = await store.readRows("first", firstRows - 1, 1);
    expect(row.length).toBe(2 ** 15);
    expect([...row.subarray(-4)]).toEqual([...last]);
    expect((await store.readRows("first", 2 ** 16 - 1, 2)).every((byte) => byte === 0)).toBe(true);
    await expect(store.readRows("first", 0, firstRows)).rejects.toThrow("read parts of at most 4 GiB");
    if (mapFrom === 1) {
      // Longer than the shared views reach from here, so it gets one of its own.
      const long = await files.read("model.safetensors", start + 2 ** 31 - 4096, start + firstBytes);
      expect([...long.subarray(-4)]).toEqual([...last]);
    }
    await store.close();
  });
});

describe("openFolder", () => {
  it("wants a folder", async () => {
    await expect(openFolder(join(root, "nowhere"))).rejects.toThrow("cannot be opened (ENOENT)");
    await expect(openFolder(join(root, "empty"))).rejects.toThrow("is not a folder");
  });

  it("stays inside, and knows what is there", async () => {
    const files = await openFolder(join(root, "inner"));
    const outside = [
      "../data.bin",
      "..",
      ".",
      "",
      "/etc/passwd",
      "a/../../data.bin",
      "./x.txt",
      "a//b",
      "..\\data.bin",
      "x\0",
      "c:x",
    ];
    for (const name of outside) {
      await expect(files.read(name)).rejects.toThrow(FileError);
      await expect(files.has(name)).rejects.toThrow(FileError);
    }
    expect([await files.has("x.txt"), await files.has("y.txt"), await files.has("x.txt/z")]).toEqual([
      true,
      false,
      false,
    ]);
    await expect(files.read("y.txt")).rejects.toThrow("y.txt: is missing");
    await files.close();
  });

  it("finds a file that came after it was missed", async () => {
    const files = await openFolder(root);
    await expect(files.read("later")).rejects.toThrow(FileError);
    writeFileSync(join(root, "later"), "now");
    expect((await files.read("later")).length).toBe(3);
    await files.close();
  });

  it("refuses a folder in a file's place", async () => {
    const files = await openFolder(root);
    await expect(files.read("inner")).rejects.toThrow("is not a regular file");
    await files.close();
  });

  it.skipIf(process.platform === "win32")("follows links, as the hub's cache needs", async () => {
    const folder = join(root, "snapshot");
    mkdirSync(folder);
    symlinkSync("../data.bin", join(folder, "model.bin"));
    symlinkSync("../gone", join(folder, "dangling"));
    const files = await openFolder(folder);
    expect(await files.size("model.bin")).toBe(10_000);
    expect(await files.has("dangling")).toBe(false);
    await files.close();
  });

  it.skipIf(process.platform === "win32")("refuses a FIFO at once", async () => {
    execFileSync("mkfifo", [join(root, "fifo")]);
    const files = await openFolder(root);
    await expect(files.read("fifo")).rejects.toThrow("is not a regular file");
    await expect(files.size("fifo")).rejects.toThrow(FileError);
    await files.close();
  });

  it("names a file that shrank while it was open", async () => {
    const path = join(root, "shrinks");
    writeFileSync(path, content);
    const files = await openFolder(root);
    await files.size("shrinks");
    truncateSync(path, 100);
    await expect(files.read("shrinks")).rejects.toThrow(
      "ends at byte 100, 10000 were there when it was opened",
    );
    await files.close();
  });
});

it("reads piece by piece without koffi", async () => {
  vi.doMock("koffi", () => {
    throw new Error("not installed");
  });
  vi.resetModules();
  const { openFolder: openWithout } = await import("./folder.node.ts");
  const files = await openWithout(root, { mapFrom: 1 });
  expect(files.mapped).toBe(false);
  expect(Buffer.from(await files.read("data.bin", 5, 500)).equals(content.subarray(5, 500))).toBe(true);
  await files.close();
  vi.doUnmock("koffi");
  vi.resetModules();
});

it.skipIf(!canMap)("a file that cannot be mapped is not", async () => {
  const mapFile = await loadMapper();
  expect(mapFile?.(-1, 4096)).toBeUndefined();
});

describe.skipIf(!canMap || !existsSync("/proc/self/maps"))("a mapped file", () => {
  it("is one view, and stays until the last part of it is let go", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const path = join(root, "mapped.bin");
    writeFileSync(path, content);
    const isMapped = () => readFileSync("/proc/self/maps", "utf8").includes(path);

    const files = await openFolder(root, { mapFrom: 1 });
    let part: Uint8Array | undefined = await files.read("mapped.bin", 10, 20);
    expect((await files.read("mapped.bin", 500, 600)).buffer).toBe(part.buffer);
    expect(isMapped()).toBe(true);
    await files.close();
    collect();
    await wait(20);
    expect([...part]).toEqual([...content.subarray(10, 20)]);
    expect(isMapped()).toBe(true);

    part = undefined;
    for (let i = 0; i < 50 && isMapped(); i++) {
      collect();
      await wait(20);
    }
    expect(isMapped()).toBe(false);
  });
});
