import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench, noise, wanted } from "../../../test/hub/checkpoints.ts";
import { HubError } from "../../errors.ts";
import type { Progress } from "../../progress.ts";
import { pull } from "./pull.node.ts";

/** A file of the content network, and one of the hub itself. */
const large = "model.safetensors";
const small = "config.json";
const largeBytes = wanted[large]!;
const id = "Org/Tiny";

let bench: Bench;

beforeEach(async () => {
  bench = await Bench.start(wanted);
});
afterEach(() => bench.end());

async function pullRight(options = {}): Promise<void> {
  const { folder } = await pull(id, { ...bench.options, ...options });
  for (const [file, bytes] of Object.entries(wanted)) {
    expect(readFileSync(join(folder, file)).equals(bytes), file).toBe(true);
  }
  expect(bench.tree().filter((name) => /incomplete|lock/.test(name))).toEqual([]);
}

async function failure(options = {}): Promise<HubError> {
  const error = await pull(id, { ...bench.options, ...options }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(HubError);
  // Nothing half-done may look like a checkpoint.
  await expect(pull(id, { ...bench.options, offline: true })).rejects.toThrow(HubError);
  return error as HubError;
}

function writeIncomplete(bytes: Uint8Array): void {
  mkdirSync(dirname(bench.blob(large)), { recursive: true });
  writeFileSync(`${bench.blob(large)}.incomplete`, bytes);
}

const ranges = (): (string | undefined)[] => bench.hub.gets(large).map((r) => r.range);
const served = (): number => bench.hub.gets(large).reduce((sum, r) => sum + r.sent, 0);

describe("a connection that breaks", () => {
  it("is taken up at the byte where it dropped", async () => {
    bench.hub.faults.set(large, [
      { kind: "drop", after: 100_000 },
      { kind: "drop", after: 50_000 },
    ]);
    await pullRight();
    expect(ranges()).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
    expect(served()).toBe(largeBytes.length);
  });

  it("begins again with a server that ignores ranges, or sends another one", async () => {
    bench.hub.faults.set(large, [{ kind: "drop", after: 100_000 }, { kind: "ignoreRange" }]);
    await pullRight();
    expect(served()).toBe(100_000 + largeBytes.length);
    bench.hub.requests.length = 0;
    await bench.end();
    bench = await Bench.start(wanted);
    bench.hub.faults.set(large, [{ kind: "drop", after: 100_000 }, { kind: "wrongRange" }]);
    await pullRight();
    expect(ranges()).toEqual([undefined, "bytes=100000-", undefined]);
  });

  it("is given up when it always drops at the same place", async () => {
    bench.hub.faults.set(
      large,
      Array.from({ length: 99 }, () => ({ kind: "ignoreRange", dropAfter: 1000 }) as const),
    );
    const error = await failure();
    expect(bench.hub.gets(large)).toHaveLength(4);
    expect(error.message).toMatch(/model\.safetensors: .*tried 4 times.*continue where it stopped/);
  });

  it("may drop often, as long as it gets on", async () => {
    const bytes = noise(8 << 20, 7);
    await bench.end();
    bench = await Bench.start({ ...wanted, [large]: bytes });
    bench.hub.faults.set(
      large,
      Array.from({ length: 7 }, () => ({ kind: "drop", after: 1 << 20 }) as const),
    );
    const { folder } = await pull(id, bench.options);
    expect(readFileSync(join(folder, large)).equals(bytes)).toBe(true);
    expect(served()).toBe(bytes.length);
  });

  it("counts an early end as a drop", async () => {
    bench.hub.faults.set(large, [{ kind: "truncate", after: 77_777 }]);
    bench.hub.faults.set(small, [{ kind: "truncate", after: 3 }]);
    await pullRight();
    expect(ranges()).toEqual([undefined, "bytes=77777-"]);
  });

  it("is ended by the client after a silence", async () => {
    bench.hub.faults.set(large, [{ kind: "stall", after: 60_000 }]);
    bench.hub.headFaults.set(small, [{ kind: "stall", after: 0 }]);
    const start = performance.now();
    await pullRight({ patience: { ...bench.options.patience, stallMilliseconds: 200 } });
    expect(performance.now() - start).toBeLessThan(3_000);
    expect(ranges()).toEqual([undefined, "bytes=60000-"]);
  });

  it("may be slow, as long as it is not silent", async () => {
    bench.hub.faults.set(large, [{ kind: "slow", piece: 30_000, milliseconds: 60 }]);
    await pullRight({ patience: { ...bench.options.patience, stallMilliseconds: 300 } });
    expect(ranges()).toEqual([undefined]);
  });

  it("is tried again after 5xx, 429 and 408, and waits as long as it is told", async () => {
    bench.hub.faults.set(large, [
      { kind: "status", status: 500 },
      { kind: "status", status: 429, headers: { "retry-after": "1" } },
      { kind: "status", status: 408 },
    ]);
    bench.hub.listingFaults.push({ kind: "status", status: 503 }, { kind: "drop", after: 0 });
    bench.hub.headFaults.set(small, [{ kind: "status", status: 502 }]);
    const start = performance.now();
    await pullRight();
    expect(performance.now() - start).toBeGreaterThan(990);
    expect(bench.hub.gets(large)).toHaveLength(4);
  });

  it("is given up after the last 5xx, with its status", async () => {
    bench.hub.listingFaults.push(
      ...Array.from({ length: 4 }, () => ({ kind: "status", status: 503 }) as const),
    );
    const error = await failure();
    expect(error.status).toBe(503);
    expect(error.message).toMatch(/answered 503; tried 4 times.*HF_ENDPOINT/);
  });
});

it("brings the weights last, so that what has them has everything", async () => {
  const file = "added_tokens.json";
  bench.hub.faults.set(file, [{ kind: "status", status: 404 }]);
  expect((await failure()).file).toBe(file);
  expect(bench.hub.gets(large)).toEqual([]);
});

describe("a server that sends something else", () => {
  it("is caught by the hash, and the file is removed", async () => {
    for (const file of [small, large]) {
      bench.hub.faults.set(file, [{ kind: "corrupt" }]);
      const error = await failure();
      expect(error.file).toBe(file);
      expect(error.message).toMatch(/hash is [0-9a-f]+, and [0-9a-f]+ was promised. The file was removed/);
      expect(existsSync(bench.blob(file))).toBe(false);
      expect(existsSync(`${bench.blob(file)}.incomplete`)).toBe(false);
    }
    await pullRight();
  });

  it("is caught when it lies about the hash", async () => {
    const lie = createHash("sha256").update("another file").digest("hex");
    bench.hub.lies.set(large, { "x-linked-etag": `"${lie}"` });
    expect((await failure()).message).toContain(`and ${lie} was promised`);
  });

  it("is caught by the length", async () => {
    bench.hub.faults.set(large, [{ kind: "longer" }]);
    expect((await failure()).message).toMatch(/the server has 300004 bytes where 300000 were promised/);
    bench.hub.faults.set(large, [{ kind: "drop", after: 1000 }, { kind: "longer" }]);
    expect((await failure()).message).toMatch(/the server has 300004 bytes/);
    bench.hub.lies.set(large, { "x-linked-size": "1000" });
    expect((await failure()).message).toMatch(/the server has 300000 bytes where 1000 were promised/);
    expect(existsSync(`${bench.blob(large)}.incomplete`)).toBe(false);
  });

  it("is caught by its type when it is a web page", async () => {
    bench.hub.faults.set(large, [{ kind: "html" }]);
    expect((await failure()).message).toMatch(/web page in the file's place/);
    await pullRight();
  });

  it("is told apart from one that refuses", async () => {
    bench.hub.faults.set(large, [{ kind: "status", status: 403 }]);
    expect((await failure()).message).toMatch(/answered 403/);
    bench.hub.faults.set(large, [{ kind: "status", status: 404 }]);
    expect((await failure()).message).toMatch(/is listed, but the server does not have it/);
    expect(bench.hub.gets(large)).toHaveLength(2);
  });
});

describe("what an earlier run left", () => {
  it("is hashed and continued", async () => {
    writeIncomplete(largeBytes.subarray(0, 123_456));
    const seen: Progress[] = [];
    await pullRight({ onProgress: (progress: Progress) => seen.push(progress) });
    expect(ranges()).toEqual(["bytes=123456-"]);
    expect(seen).toContainEqual({ phase: "verify", file: large, loaded: 123_456, total: 123_456 });
  });

  it("is only checked when it is whole", async () => {
    writeIncomplete(largeBytes);
    await pullRight();
    expect(ranges()).toEqual([]);
  });

  it("is thrown away when it is wrong or too long", async () => {
    for (const bytes of [noise(123_456, 99), noise(largeBytes.length, 99), noise(largeBytes.length + 1, 2)]) {
      await bench.end();
      bench = await Bench.start(wanted);
      writeIncomplete(bytes);
      await pullRight();
      expect(ranges().at(-1)).toBeUndefined();
    }
  });

  it("stays when the caller aborts, who is answered within 100 ms", async () => {
    bench.hub.faults.set(large, [{ kind: "slow", piece: 10_000, milliseconds: 20 }]);
    const controller = new AbortController();
    const reason = new Error("enough");
    let abortedAt = 0;
    const onProgress = ({ file, loaded }: Progress): void => {
      if (file !== large || loaded < 120_000 || abortedAt > 0) return;
      abortedAt = performance.now();
      controller.abort(reason);
    };
    const cut = pull(id, { ...bench.options, signal: controller.signal, onProgress });
    await expect(cut).rejects.toBe(reason);
    expect(performance.now() - abortedAt).toBeLessThan(100);
    const kept = statSync(`${bench.blob(large)}.incomplete`).size;
    expect(kept).toBeGreaterThan(50_000);
    bench.hub.requests.length = 0;
    await pullRight();
    expect(ranges()).toEqual([`bytes=${kept}-`]);
  });

  it.each(["a silent listing", "a silent file", "a wait before the next attempt"])(
    "aborts in %s",
    async (where) => {
      if (where === "a silent listing") bench.hub.listingFaults.push({ kind: "stall", after: 0 });
      if (where === "a silent file") bench.hub.faults.set(large, [{ kind: "stall", after: 10 }]);
      if (where.startsWith("a wait")) {
        bench.hub.faults.set(large, [{ kind: "status", status: 429, headers: { "retry-after": "20" } }]);
      }
      const controller = new AbortController();
      let abortedAt = 0;
      setTimeout(() => {
        abortedAt = performance.now();
        controller.abort();
      }, 300);
      const cut = pull(id, { ...bench.options, signal: controller.signal });
      await expect(cut).rejects.toMatchObject({ name: "AbortError" });
      expect(abortedAt).toBeGreaterThan(0);
      expect(performance.now() - abortedAt).toBeLessThan(100);
    },
  );

  it("does not begin when the signal is aborted already", async () => {
    await expect(pull(id, { ...bench.options, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(bench.hub.requests).toEqual([]);
  });
});

// The device on which every write fails as on a full disk.
it.skipIf(!existsSync("/dev/full"))("says how much more room a full disk needs", async () => {
  mkdirSync(dirname(bench.blob(large)), { recursive: true });
  symlinkSync("/dev/full", `${bench.blob(large)}.incomplete`);
  // The write fails while the next bytes are waited for: nobody is looking, and it must not end the process.
  bench.hub.faults.set(large, [{ kind: "slow", piece: 280_000, milliseconds: 60 }]);
  const error = await failure();
  expect(error.file).toBe(large);
  expect(error.message).toMatch(/0\.3 MB more are needed in .*blobs, and the disk is full.*HF_HUB_CACHE/);
  expect((error.cause as NodeJS.ErrnoException).code).toBe("ENOSPC");
});
