import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openToAll, type RangeServer, serveRanges } from "../../../test/support/range-server.ts";
import { DisposedError, DownloadError, FileError, InternVLError } from "../../errors.ts";
import type { Progress } from "../../progress.ts";
import { openCheckpoint } from "../open.ts";
import { blockBytes } from "./blocks.ts";
import { headBytes } from "./server.ts";
import { openUrlFolder, type UrlFolderOptions } from "./url-folder.ts";

const golden = "test/golden/models/tiny-26b";
const patience = { attempts: 3, delayMilliseconds: 5, stallMilliseconds: 500 };

/** Long enough for four blocks, and different everywhere. */
const long = new Uint8Array(3 * blockBytes + 12_345);
new Uint32Array(long.buffer, 0, long.length >> 2).forEach((_, i, words) => {
  words[i] = Math.imul(i, 2654435761);
});

let folder: string;
let server: RangeServer;
let longEtag: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "internvl-url-"));
  writeFileSync(join(folder, "config.json"), "{}");
  writeFileSync(join(folder, "long.safetensors"), long);
  writeFileSync(join(folder, "empty.json"), "");
  mkdirSync(join(folder, "page"));
  writeFileSync(join(folder, "page/config.json"), "\n<!DOCTYPE html><title>Sign in</title>");
  server = await serveRanges({ "/golden/": golden, "/": folder });
  longEtag = (await fetch(`${server.origin}/long.safetensors`, { method: "HEAD" })).headers.get("etag")!;
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  server.fault = undefined;
  server.requests.length = 0;
});

const open = (path = "/", options: UrlFolderOptions = {}) =>
  openUrlFolder(new URL(path, server.origin), { patience, ...options });

/** The error of opening or reading, which must be a DownloadError. */
async function failure(work: Promise<unknown>): Promise<DownloadError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DownloadError);
  return error as DownloadError;
}

const refuse = (status: number, headers: Record<string, string> = {}) =>
  ((_, response) => {
    response.writeHead(status, headers).end("no");
    return true;
  }) satisfies RangeServer["fault"];

describe("a checkpoint on the web", () => {
  it("is read by ranges, shards and all, as the folder itself is", async () => {
    const files = await open("/golden/");
    const store = await openCheckpoint(files);
    expect(store.tensors.size).toBeGreaterThan(50);
    for (const { name, file, start, end, shape } of store.tensors.values()) {
      const bytes = await store.readRows(name, 0, shape[0] ?? 1);
      expect(Buffer.from(bytes).equals(readFileSync(join(golden, file)).subarray(start, end))).toBe(true);
    }
    expect(await files.has("no-such-file.json")).toBe(false);
    expect(server.requests.filter(({ range }) => range === undefined)).toEqual([]);
    await files.close();
    await expect(files.read("config.json")).rejects.toThrow(DisposedError);
  });

  it("gives the bytes of any range", async () => {
    const files = await open();
    const size = await files.size("long.safetensors");
    expect(size).toBe(long.length);
    const near = fc.constantFrom(0, headBytes, blockBytes, 2 * blockBytes, long.length);
    const place = fc
      .tuple(near, fc.integer({ min: -3, max: 3 }))
      .map(([at, by]) => Math.min(Math.max(at + by, 0), size));
    await fc.assert(
      fc.asyncProperty(place, place, async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        const bytes = await files.read("long.safetensors", start, end);
        expect(Buffer.compare(bytes, long.subarray(start, end))).toBe(0);
      }),
      { numRuns: 40 },
    );
    expect(await files.read("empty.json")).toHaveLength(0);
    await expect(files.read("long.safetensors", 5, size + 1)).rejects.toThrow(FileError);
    await expect(files.has("../secret")).rejects.toThrow(FileError);
  });

  it("asks for each block once, several at a time, and for the next ones ahead of who reads on", async () => {
    let together = 0;
    let most = 0;
    server.fault = (_, response) => {
      most = Math.max(most, ++together);
      response.on("close", () => together--);
      return false;
    };
    const files = await open();
    const piece = 100_000;
    for (let at = 0; at < long.length; at += piece) {
      const end = Math.min(at + piece, long.length);
      expect(Buffer.compare(await files.read("long.safetensors", at, end), long.subarray(at, end))).toBe(0);
    }
    const blocks = server.requests.filter(({ path }) => path === "/long.safetensors").slice(1);
    expect(new Set(blocks.map(({ range }) => range)).size).toBe(4);
    expect(blocks).toHaveLength(4);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(6);
  });

  it("tells how far it has come, and ends at the whole", async () => {
    const heard: Progress[] = [];
    const files = await open("/", { onProgress: (progress) => heard.push(progress) });
    await files.read("long.safetensors");
    await files.read("long.safetensors");
    const last = heard.at(-1)!;
    expect(last).toEqual({
      phase: "download",
      file: "long.safetensors",
      loaded: long.length + 2,
      total: long.length + 2,
    });
    expect(heard.every(({ loaded, total }) => loaded <= total)).toBe(true);
  });

  it("goes on where a connection broke", async () => {
    let broken = 0;
    server.fault = (request, response) => {
      const [, from, to] = request.headers.range!.match(/bytes=(\d+)-(\d+)/)!.map(Number);
      if (to - from < headBytes || broken === 6) return false;
      broken++;
      response.writeHead(206, {
        etag: longEtag,
        "content-range": `bytes ${from}-${to}/${long.length}`,
        "content-length": to - from + 1,
      });
      response.write(long.subarray(from, from + 1_000_000), () => response.destroy());
      return true;
    };
    const files = await open();
    const end = 2 * blockBytes;
    // More breaks than attempts: those that brought something do not count.
    expect(Buffer.compare(await files.read("long.safetensors", 0, end), long.subarray(0, end))).toBe(0);
    expect(broken).toBe(6);
  });

  it("tries again when the server is overloaded", async () => {
    let refused = 0;
    server.fault = (_, response) => {
      if (refused++ >= 2) return false;
      response.writeHead(503, { "retry-after": "0" }).end();
      return true;
    };
    expect(await (await open()).has("config.json")).toBe(true);
    expect(refused).toBe(3);
  });
});

describe("what goes wrong on the web", () => {
  it("an address with no checkpoint", async () => {
    const error = await failure(open("/nowhere/"));
    expect(error).toMatchObject({
      reason: "missing",
      status: 404,
      url: `${server.origin}/nowhere/config.json`,
    });
  });

  it("a web page in place of the files", async () => {
    const error = await failure(open("/page/"));
    expect(error.reason).toBe("html");
    expect(error.message).toContain("resolve/main");
    server.fault = refuse(200, { "content-type": "text/html; charset=utf-8" });
    expect((await failure(open())).reason).toBe("html");
  });

  it("a server that answers every address with its start page has no other files", async () => {
    server.fault = (request, response, file) => {
      if (file.endsWith("config.json") || request.url === "/long.safetensors") return false;
      response.writeHead(200, { "content-type": "text/html" }).end("<html></html>");
      return true;
    };
    const files = await open();
    expect(await files.has("tokenizer.json")).toBe(false);
    expect((await failure(files.size("tokenizer.json"))).reason).toBe("html");
    await expect(openCheckpoint(files)).rejects.toThrow("holds neither model.safetensors nor");
  });

  it("a server that ignores ranges: text may come whole, weights may not", async () => {
    server.fault = (request) => {
      delete request.headers.range;
      return false;
    };
    const files = await open("/golden/");
    expect(JSON.parse(new TextDecoder().decode(await files.read("config.json")))).toHaveProperty(
      "llm_config",
    );
    const error = await failure(openCheckpoint(files));
    expect(error.reason).toBe("ranges");
    expect(error.message).toContain("200, not 206");
  });

  it("a server that ceases to know ranges, sends other ones, or too much", async () => {
    const files = await open();
    await files.size("long.safetensors");
    const read = () => failure(files.read("long.safetensors", blockBytes, 2 * blockBytes));
    server.fault = refuse(200);
    expect((await read()).reason).toBe("ranges");
    server.fault = refuse(206, { "content-range": `bytes 7-8/${long.length}` });
    expect((await read()).message).toContain("from 7 on");
    server.fault = (_, response) => {
      response.writeHead(206).end(long);
      return true;
    };
    expect((await read()).message).toContain("more than");
  });

  it("a file that changes between two ranges, or is cut", async () => {
    const files = await open();
    await files.size("long.safetensors");
    const read = () => failure(files.read("long.safetensors", blockBytes, 2 * blockBytes));
    for (const fault of [
      refuse(206, { etag: '"another"' }),
      refuse(206, { "content-range": `bytes ${blockBytes}-${2 * blockBytes - 1}/99999999` }),
      refuse(416, { "content-range": "bytes */1000" }),
    ]) {
      server.fault = fault;
      expect((await read()).reason).toBe("changed");
    }
    server.fault = refuse(404);
    expect(await read()).toMatchObject({ reason: "missing", status: 404 });
  });

  it("an answer that ends early, again and again", async () => {
    const files = await open();
    await files.size("long.safetensors");
    server.fault = refuse(206);
    const error = await failure(files.read("long.safetensors", blockBytes, 2 * blockBytes));
    expect(error.reason).toBe("unreachable");
    expect(error.message).toMatch(/after \d+ of \d+ bytes/);
  });

  it("a shard that is missing", async () => {
    server.fault = (_, response, file) => {
      if (!/00002/.test(file)) return false;
      response.writeHead(404).end();
      return true;
    };
    await expect(openCheckpoint(await open("/golden/"))).rejects.toThrow(/00002.*missing/);
  });

  it("no access", async () => {
    server.fault = refuse(403);
    const error = await failure(open());
    expect(error).toMatchObject({ reason: "refused", status: 403 });
    expect(error.message).toContain("option fetch");
  });

  it("silence, and a server that is not there", async () => {
    server.fault = () => true;
    const quick = { ...patience, stallMilliseconds: 30 };
    const silent = await failure(open("/", { patience: quick }));
    expect(silent.reason).toBe("unreachable");
    expect(silent.message).toContain("silent");
    const gone = await failure(openUrlFolder(new URL("http://127.0.0.1:9/"), { patience }));
    expect(gone.message).toMatch(/connection to 127\.0\.0\.1:9 failed.*tried 3 times/);
  });

  it("a size that no header says", async () => {
    await using strange = await serveRanges(
      { "/": folder },
      {
        headers: openToAll,
        fault: (_, response) => {
          response.writeHead(206).end("{}");
          return true;
        },
      },
    );
    const error = await failure(openUrlFolder(new URL(strange.origin), { patience }));
    expect(error.message).toContain("Access-Control-Expose-Headers");
  });

  it("cancel: the signal's own reason, at once, and nothing is left running", async () => {
    const files = await open();
    await files.size("long.safetensors");
    const controller = new AbortController();
    const cancelled = await open("/", { signal: controller.signal });
    await cancelled.size("long.safetensors");
    let waiting = 0;
    server.fault = (_, response: ServerResponse) => {
      waiting++;
      response.on("close", () => waiting--);
      return true;
    };
    const reading = cancelled.read("long.safetensors");
    setTimeout(() => controller.abort(new Error("enough")), 50);
    await expect(reading).rejects.toThrow("enough");
    await expect.poll(() => waiting).toBe(0);
  });

  it("whatever a server answers, the error is one of ours or the bytes are right", async () => {
    const answer = fc.record({
      status: fc.constantFrom(200, 204, 206, 302, 304, 400, 401, 404, 410, 416, 500),
      range: fc.constantFrom(
        undefined,
        "bytes 0-1/2",
        "bytes */2",
        "bytes 1-1/2",
        "bytes x-y/z",
        "2",
        "bytes 0-1/*",
      ),
      length: fc.integer({ min: 0, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(answer, async ({ status, range, length }) => {
        server.fault = (request, response) => {
          if (request.method === "HEAD") return false;
          response.writeHead(status, range ? { "content-range": range } : {});
          response.end("{}xyz".slice(0, length));
          return true;
        };
        try {
          const files = await open("/", { patience: { ...patience, attempts: 1 } });
          const text = new TextDecoder().decode(await files.read("config.json"));
          expect("{}xyz".startsWith(text)).toBe(true);
        } catch (error) {
          if (!(error instanceof InternVLError)) throw error;
        }
      }),
      { numRuns: 60 },
    );
  });
});
