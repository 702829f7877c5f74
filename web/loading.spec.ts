/** Checkpoints by address in a real page: what the browser keeps, what it forbids, and what goes wrong on the way. */

import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { blockBytes } from "../src/checkpoint/url/blocks.ts";
import type { DownloadError } from "../src/errors.ts";
import { openToAll, type RangeServer, serveRanges } from "../test/support/range-server.ts";
import { openBrowser, openLastingBrowser } from "./support/browser.ts";
import { harnessFolder, openHarness, serveHarness } from "./support/serve.ts";

/** 25 MB, nearly all of it in one file. */
const demo = "models/demo";
const demoBlocks = Math.ceil(statSync(`${demo}/model.safetensors`).size / blockBytes);
const question = "Describe the picture.";

let browser: Browser;
let harness: RangeServer;
let server: RangeServer;
let context: BrowserContext;
let folder: string;
beforeAll(async () => {
  harness = await serveHarness();
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await harness?.close();
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "internvl-web-"));
  for (const name of readdirSync(demo)) {
    if (/\.(json|model|safetensors)$/.test(name)) copyFileSync(join(demo, name), join(folder, name));
  }
  server = await serveRanges({ "/demo/": folder });
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

const address = () => `${server.origin}/demo/`;
const open = () => openHarness(harness, context);

/** Loads and asks in a page; what it answered, what it said, and how the download went; or the error. */
function load(page: Page, options: { cache?: boolean; cancelAt?: number } = {}) {
  return page.evaluate(
    async ([address, question, options]) => {
      const notices: string[] = [];
      const downloads: { loaded: number; total: number }[] = [];
      const { cancelAt, ...rest } = options;
      const controller = new AbortController();
      try {
        const model = await internvl.InternVL.load(address, {
          ...rest,
          device: "cpu",
          cacheTokens: 4096,
          signal: controller.signal,
          onNotice: (text) => notices.push(text),
          onProgress: ({ phase, loaded, total }) => {
            if (phase !== "download") return;
            downloads.push({ loaded, total });
            if (cancelAt !== undefined && loaded >= cancelAt) controller.abort();
          },
        });
        const picture = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3).fill(255) };
        const { text } = await model.chat(question, { images: [picture], maxNewTokens: 4 });
        await model.dispose();
        return { text, notices, downloads };
      } catch (error) {
        const { name, message, reason } = error as DownloadError;
        return { error: { name, message, reason }, notices, downloads };
      }
    },
    [address(), question, options] as const,
  );
}

const blocksAsked = () => server.requests.filter(({ path, range }) => isBlock(path, range)).length;
const isBlock = (path: string, range: string | undefined) => {
  const [, from, to] = range?.match(/bytes=(\d+)-(\d+)/)?.map(Number) ?? [];
  return path.endsWith("model.safetensors") && to - from > 2 ** 16;
};

const cached = (page: Page) =>
  page.evaluate(async () => {
    const files = await internvl.cachedCheckpoints();
    return Object.fromEntries(files.map(({ url, size, kept }) => [url.split("/").at(-1), [size, kept]]));
  });

describe.each(["the private file system", "Cache Storage"])("what the browser keeps, in %s", (where) => {
  beforeEach(async () => {
    if (where === "Cache Storage") {
      // As in browsers that write to the private file system in workers only.
      await context.addInitScript(() => {
        delete (FileSystemFileHandle.prototype as { createWritable?: unknown }).createWritable;
      });
    }
  });

  it("is not downloaded a second time", async () => {
    const page = await open();
    const first = await load(page);
    expect(first.error).toBeUndefined();
    expect(first.downloads.at(-1)!.loaded).toBe(first.downloads.at(-1)!.total);
    expect(blocksAsked()).toBe(demoBlocks);
    const { "model.safetensors": kept } = await cached(page);
    expect(kept[1]).toBe(kept[0]);
    await page.close();

    const again = await load(await open());
    expect(again.text).toBe(first.text);
    expect(again.downloads.at(-1)).toEqual(first.downloads.at(-1));
    expect(blocksAsked()).toBe(demoBlocks);
    expect(again.notices.filter((text) => text.includes("keep"))).toEqual([]);
  });

  it("survives a page that is closed in the middle", async () => {
    const page = await open();
    // The third block never comes.
    server.fault = (request) => blocksAsked() > 2 && isBlock(request.url!, request.headers.range);
    void load(page).catch(() => undefined);
    await expect
      .poll(async () => (await cached(page))["model.safetensors"]?.[1] ?? 0, { timeout: 20_000 })
      .toBeGreaterThan(blockBytes);
    await page.close();
    server.fault = undefined;
    server.requests.length = 0;
    const rest = await load(await open());
    expect(rest.error).toBeUndefined();
    expect(blocksAsked()).toBe(demoBlocks - 2);
  });

  it("serves two pages that load at once", async () => {
    const pages = await Promise.all([open(), open()]);
    const [a, b] = await Promise.all(pages.map((page) => load(page)));
    expect(a.error ?? b.error).toBeUndefined();
    expect(a.text).toBe(b.text);
    const again = blocksAsked();
    expect((await load(await open())).text).toBe(a.text);
    expect(blocksAsked()).toBe(again);
  });

  it("is dropped when the file on the server is another one", async () => {
    expect((await load(await open())).error).toBeUndefined();
    server.requests.length = 0;
    // The same size, another ETag: one byte of a weight differs.
    const page = await open();
    const before = await cached(page);
    const bytes = readFileSync(join(folder, "model.safetensors"));
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(join(folder, "model.safetensors"), bytes);
    expect((await load(page)).error).toBeUndefined();
    expect(blocksAsked()).toBe(demoBlocks);
    // What was kept of the one before is gone.
    expect(await cached(page)).toEqual(before);
  });

  it("is not used, and not added to, where the caller says so; and can be cleared", async () => {
    const page = await open();
    expect((await load(page, { cache: false })).error).toBeUndefined();
    expect(await cached(page)).toEqual({});
    expect((await load(page)).error).toBeUndefined();
    expect(Object.keys(await cached(page))).toContain("model.safetensors");
    await page.evaluate((elsewhere) => internvl.clearCheckpointCache(elsewhere), `${server.origin}/other/`);
    expect(Object.keys(await cached(page))).toContain("model.safetensors");
    await page.evaluate((folder) => internvl.clearCheckpointCache(folder), address());
    expect(await cached(page)).toEqual({});
  });

  it("is enough when the server is away", async () => {
    const page = await open();
    const { text } = await load(page);
    server.fault = (_, response) => {
      response.destroy();
      return true;
    };
    const begun = performance.now();
    expect((await load(page)).text).toBe(text);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });
});

describe("a worker of a page", () => {
  it("loads and answers as the page does", async () => {
    const page = await open();
    const answer = await page.evaluate(
      async ([address, question]) => {
        const { src } = document.querySelector<HTMLScriptElement>("script[type=module]")!;
        const body = `
          import ${JSON.stringify(src)};
          onmessage = async ({ data: { address, question } }) => {
            try {
              const model = await internvl.InternVL.load(address, { device: "cpu", cacheTokens: 4096 });
              const picture = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3).fill(255) };
              const { text } = await model.chat(question, { images: [picture], maxNewTokens: 4 });
              postMessage({ text, kept: (await internvl.cachedCheckpoints()).length });
            } catch (error) {
              postMessage({ error: String(error) });
            }
          };
          postMessage("ready");`;
        const url = URL.createObjectURL(new Blob([body], { type: "text/javascript" }));
        const worker = new Worker(url, { type: "module" });
        const next = () =>
          new Promise((resolve, reject) => {
            worker.addEventListener("message", ({ data }) => resolve(data), { once: true });
            worker.addEventListener("error", ({ message }) => reject(new Error(message)), { once: true });
          });
        await next();
        worker.postMessage({ address, question });
        return next();
      },
      [address(), question] as const,
    );
    const { text } = await load(page);
    expect(answer).toEqual({ text, kept: expect.any(Number) });
    expect((answer as { kept: number }).kept).toBeGreaterThan(3);
  });
});

describe("a browser that is killed in the middle", () => {
  it("goes on with what was kept, and keeps nothing broken", async () => {
    const profile = mkdtempSync(join(tmpdir(), "internvl-profile-"));
    try {
      const killed = await openLastingBrowser(profile);
      const page = await openHarness(harness, killed);
      server.fault = (request) => blocksAsked() > 2 && isBlock(request.url!, request.headers.range);
      void load(page).catch(() => undefined);
      await expect
        .poll(async () => (await cached(page))["model.safetensors"]?.[1] ?? 0, { timeout: 20_000 })
        .toBeGreaterThan(0);
      const session = await killed.newCDPSession(page);
      const gone = new Promise((resolve) => killed.once("close", resolve));
      void session.send("Browser.crash").catch(() => undefined);
      await gone;
      server.fault = undefined;
      server.requests.length = 0;

      const again = await openLastingBrowser(profile);
      const rest = await load(await openHarness(harness, again));
      const { text } = await load(await open(), { cache: false });
      expect(rest.text).toBe(text);
      await again.close();
    } finally {
      rmSync(profile, { recursive: true, force: true });
    }
  });
});

describe("a browser that lets a page keep little", () => {
  it("says so once, and the model runs", async () => {
    const page = await open();
    const session = await context.newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: harness.origin, quotaSize: 12_000_000 });
    const loaded = await load(page);
    expect(loaded.error).toBeUndefined();
    expect(
      loaded.notices.filter((text) =>
        /keeps no more for this page than the \d+ MB.*clearCheckpointCache/.test(text),
      ),
    ).toHaveLength(1);
    const { "model.safetensors": kept } = await cached(page);
    expect(kept[1]).toBeLessThan(kept[0]);
    // What was kept before the end is of use.
    server.requests.length = 0;
    expect((await load(page)).text).toBe(loaded.text);
    expect(blocksAsked()).toBeLessThan(demoBlocks);
  });
});

describe("what goes wrong in a page", () => {
  it.each([
    ["said at once", "cors", false],
    ["an isolated page can but guess", "unreachable", true],
  ])("another origin that does not let it read: %s", async (_, reason, isolated) => {
    await using closed = await serveRanges({ "/demo/": folder }, { headers: {} });
    await using open = await serveRanges({ "/": harnessFolder }, { headers: {} });
    const page = await openHarness(isolated ? harness : open, context);
    const error = await page.evaluate(
      (address) => internvl.InternVL.load(address).catch(({ reason, message }) => ({ reason, message })),
      `${closed.origin}/demo/`,
    );
    expect(error).toMatchObject({
      reason,
      message: expect.stringContaining("Access-Control-Allow-Origin"),
    });
  });

  it("no network", async () => {
    const page = await open();
    const attempt = (address: string) =>
      page.evaluate(
        (address) =>
          internvl.InternVL.load(address, { device: "reference" }).catch(({ name, reason, message }) => ({
            name,
            reason,
            message,
          })),
        address,
      );
    await context.setOffline(true);
    const noCode = await attempt(address());
    expect(noCode).toMatchObject({ name: "DeviceError", message: expect.stringContaining("connect") });

    await context.setOffline(false);
    await page.reload(); // a module that failed to come is not asked for again
    await page.waitForFunction(() => globalThis.internvl);
    await attempt(`${server.origin}/nothing/`); // brings the device's code
    await context.setOffline(true);
    const noFiles = await attempt(address());
    expect(noFiles).toMatchObject({ reason: "offline", message: expect.stringContaining("connect it") });
  });

  it("another origin that hides sizes and versions: read all the same, not kept", async () => {
    await using hiding = await serveRanges(
      { "/demo/": folder },
      { headers: { "access-control-allow-origin": "*" } },
    );
    server.fault = undefined;
    const page = await open();
    const found = await page.evaluate(async (address) => {
      const model = await internvl.InternVL.load(address, { device: "cpu", cacheTokens: 4096 });
      await model.dispose();
      return internvl.cachedCheckpoints();
    }, `${hiding.origin}/demo/`);
    expect(found).toEqual([]);
  });

  it("a web page in place of the checkpoint, a folder that is not there, a server that ignores ranges", async () => {
    const page = await open();
    server.fault = (_, response) => {
      response.writeHead(200, { ...openToAll, "content-type": "text/html" }).end("<!doctype html>");
      return true;
    };
    expect((await load(page)).error).toMatchObject({ name: "DownloadError", reason: "html" });
    server.fault = (_, response) => {
      response.writeHead(404).end();
      return true;
    };
    expect((await load(page)).error).toMatchObject({ name: "DownloadError", reason: "missing" });
    server.fault = (request) => {
      delete request.headers.range;
      return false;
    };
    expect((await load(page)).error).toMatchObject({ name: "DownloadError", reason: "ranges" });
  });

  it("a file that changes while it is read", async () => {
    const page = await open();
    server.fault = (request, response) => {
      if (!isBlock(request.url!, request.headers.range)) return false;
      response.writeHead(206, { etag: '"another"' }).end("x");
      return true;
    };
    expect((await load(page)).error).toMatchObject({ name: "DownloadError", reason: "changed" });
  });

  it("a cancel in the middle of the download", async () => {
    const page = await open();
    const { error, downloads } = await load(page, { cancelAt: 1_000_000 });
    expect(error?.name).toBe("AbortError");
    expect(downloads.at(-1)!.loaded).toBeLessThan(downloads.at(-1)!.total);
    const asked = server.requests.length;
    await page.waitForTimeout(300);
    expect(server.requests.length).toBe(asked);
  });

  it("names that only Node knows", async () => {
    const page = await open();
    const messages = await page.evaluate(() =>
      Promise.all(
        ["demo", "OpenGVLab/InternVL2-1B"].map((source) =>
          internvl.InternVL.load(source).catch(({ message }) => message as string),
        ),
      ),
    );
    expect(messages[0]).toContain('from "internvl/demo"');
    expect(messages[1]).toContain("resolve/main");
  });
});
