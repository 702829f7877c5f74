import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileError, MediaError, OptionError } from "../errors.ts";
import { type ImageSource, loadImage } from "./sources.ts";

const path = "test/golden/images/small.png";
const bytes = new Uint8Array(readFileSync(path));
const size = { width: 30, height: 17 };

let server: Server;
let base: string;
let folder: string;
/** How many bytes the endless response has sent. */
let sent = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "internvl-sources-"));
  const endless = (response: ServerResponse) => {
    const block = Buffer.alloc(1 << 16);
    while (!response.destroyed && sent < 1 << 28) {
      sent += block.length;
      if (response.write(block)) continue;
      response.once("drain", () => endless(response));
      return;
    }
  };
  const answers: Record<string, (response: ServerResponse) => void> = {
    // The content type is not asked.
    "/picture.png": (response) => response.setHeader("content-type", "application/octet-stream").end(bytes),
    "/moved.png": (response) => response.writeHead(302, { location: "/picture.png" }).end(),
    "/page": (response) =>
      response.setHeader("content-type", "text/html").end("<!doctype html><html></html>"),
    "/announced": (response) => response.setHeader("content-length", 1 << 30).write("x"),
    "/endless": endless,
    "/broken": (response) => response.setHeader("content-length", 100).write("x", () => response.destroy()),
    "/silent": () => {},
  };
  server = createServer((request, response) => {
    const answer = answers[request.url ?? ""];
    if (answer) answer(response);
    else response.writeHead(404).end("not here");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

describe("loadImage", () => {
  it("reads a path, addresses of every kind, bytes and a Blob", async () => {
    const base64 = Buffer.from(bytes).toString("base64");
    const sources: ImageSource[] = [
      path,
      resolve(path),
      pathToFileURL(path),
      pathToFileURL(path).href,
      `${base}/picture.png`,
      new URL(`${base}/moved.png`),
      `data:image/png;base64,${base64}`,
      bytes,
      bytes.slice().buffer,
      new Blob([bytes]),
    ];
    const wanted = Buffer.from((await loadImage(path)).data);
    for (const source of sources) {
      const image = await loadImage(source);
      expect(image).toMatchObject(size);
      expect(wanted.equals(image.data)).toBe(true);
    }
  });

  it("checks raw pixels", async () => {
    const image = { width: 2, height: 1, data: new Uint8Array(6) };
    expect(await loadImage(image)).toBe(image);
    await expect(loadImage({ ...image, data: new Uint8Array(5) })).rejects.toThrow(/5 bytes.*needs 6/);
    await expect(loadImage({ ...image, data: new Uint8Array(8) })).rejects.toThrow(/RGBA/);
    await expect(loadImage({ ...image, width: 0 })).rejects.toThrow(MediaError);
    await expect(loadImage({ ...image, data: [0, 0] as unknown as Uint8Array })).rejects.toThrow(MediaError);
    await expect(loadImage(image, { limits: { maxAspectRatio: 1 } })).rejects.toThrow(/maxAspectRatio/);
  });

  it("turns a picture upright when asked to", async () => {
    const rotated = "test/golden/images/exif_rotated.jpg";
    expect(await loadImage(rotated)).toMatchObject({ width: 600, height: 400 });
    expect(await loadImage(rotated, { exif: true })).toMatchObject({ width: 400, height: 600 });
  });

  it("uses the caller's fetch", async () => {
    const asked: unknown[] = [];
    const own = (async (url: unknown) => {
      asked.push(String(url));
      return new Response(bytes);
    }) as typeof fetch;
    expect(await loadImage("https://example.org/a.png", { fetch: own })).toMatchObject(size);
    expect(asked).toEqual(["https://example.org/a.png"]);
  });
});

describe("what loadImage refuses", () => {
  it("paths that are not picture files", async () => {
    await expect(loadImage("no/such/cat.jpg")).rejects.toThrow(FileError);
    await expect(loadImage("no/such/cat.jpg")).rejects.toThrow(/^no\/such\/cat\.jpg: there is no such file/);
    await expect(loadImage(folder)).rejects.toThrow(/this is a folder/);
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(loadImage(pipe)).rejects.toThrow(/not a regular file/);
    const page = join(folder, "cat.jpg");
    writeFileSync(page, "<html>404</html>");
    await expect(loadImage(page)).rejects.toThrow(/cat\.jpg: .*HTML page/);
    await expect(loadImage(path, { limits: { maxBytes: 100 } })).rejects.toThrow(/maxBytes/);
  });

  it("servers that send no picture", async () => {
    await expect(loadImage(`${base}/missing.png`)).rejects.toThrow(/missing\.png: the server answered 404/);
    await expect(loadImage(`${base}/page`)).rejects.toThrow(/HTML page.*address of the picture/);
    await expect(loadImage(`${base}/broken`)).rejects.toThrow(/could not be fetched/);
    await expect(loadImage("http://127.0.0.1:1/cat.png")).rejects.toThrow(MediaError);
    await expect(loadImage("data:image/png;base64,")).rejects.toThrow(/empty/);
  });

  it("a response over the limit, without reading on", async () => {
    const limits = { maxBytes: 1 << 20 };
    await expect(loadImage(`${base}/announced`, { limits })).rejects.toThrow(
      /1073741824 bytes are over the limit/,
    );
    await expect(loadImage(`${base}/endless`, { limits })).rejects.toThrow(/over the limit of 1048576/);
    expect(sent).toBeLessThan(1 << 26);
  });

  it("to go on after the signal, with the signal's reason", async () => {
    const reason = new Error("the user closed the page");
    await expect(loadImage(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const pending = loadImage(`${base}/silent`, { signal: controller.signal });
    controller.abort(reason);
    await expect(pending).rejects.toBe(reason);
    const timeout = loadImage(`${base}/silent`, { signal: AbortSignal.timeout(30) });
    await expect(timeout).rejects.toMatchObject({ name: "TimeoutError" });
  });

  it("passwords in its messages", async () => {
    const address = `${base.replace("http://", "http://user:secret@")}/missing.png`;
    await expect(loadImage(address)).rejects.toThrow(MediaError);
    await expect(loadImage(address)).rejects.not.toThrow(/secret/);
  });

  it("what is no source, and options out of range", async () => {
    await expect(loadImage(7 as unknown as string)).rejects.toThrow(MediaError);
    await expect(loadImage(null as unknown as string)).rejects.toThrow(MediaError);
    await expect(loadImage(path, { limits: { maxBytes: -1 } })).rejects.toThrow(OptionError);
  });
});
