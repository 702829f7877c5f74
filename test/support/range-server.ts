/** A static server for tests: byte ranges, ETags, other origins let in, and faults on demand. */

import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

/** Handles a request in place of the server: true when it did. */
export type Fault = (request: IncomingMessage, response: ServerResponse, file: string) => boolean;

export interface RangeServerOptions {
  /** Headers of every answer. */
  headers?: Readonly<Record<string, string>>;
  fault?: Fault;
}

export interface RangeServer extends AsyncDisposable {
  readonly origin: string;
  /** Every request so far: method, path, range. */
  readonly requests: { method: string; path: string; range: string | undefined }[];
  fault: Fault | undefined;
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".css": "text/css",
  ".png": "image/png",
};

/** Lets pages of every origin read everything. */
export const openToAll = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "ETag, Content-Range",
};

/** @param folders What is served: the beginning of a path, and the folder that lies there; the first that fits. */
export async function serveRanges(
  folders: Readonly<Record<string, string>>,
  { headers = openToAll, fault }: RangeServerOptions = {},
): Promise<RangeServer> {
  const requests: RangeServer["requests"] = [];
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://here").pathname);
    requests.push({ method: request.method!, path, range: request.headers.range });
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const file = fileOf(folders, path);
    if (result.fault?.(request, response, file ?? path)) return;
    if (file === undefined) response.writeHead(404).end();
    else sendFile(file, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const result: RangeServer = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    fault,
    close,
    [Symbol.asyncDispose]: close,
  };
  return result;
}

function fileOf(folders: Readonly<Record<string, string>>, path: string): string | undefined {
  const [prefix, folder] = Object.entries(folders).find(([each]) => path.startsWith(each)) ?? [];
  if (prefix === undefined || folder === undefined) return undefined;
  const file = join(folder, normalize(`/${path.slice(prefix.length)}`));
  const found = file.endsWith("/") ? join(file, "index.html") : file;
  return existsSync(found) && statSync(found).isFile() ? found : undefined;
}

function sendFile(file: string, request: IncomingMessage, response: ServerResponse): void {
  const { size } = statSync(file);
  response.setHeader("content-type", types[extname(file)] ?? "application/octet-stream");
  response.setHeader("etag", etagOf(file));
  const [, from, to] = request.headers.range?.match(/^bytes=(\d+)-(\d*)$/) ?? [];
  if (from === undefined) {
    response.writeHead(200, { "content-length": size });
    if (request.method === "HEAD") response.end();
    else createReadStream(file).pipe(response);
    return;
  }
  const start = Number(from);
  const end = Math.min(to ? Number(to) : size - 1, size - 1);
  if (start >= size) {
    response.writeHead(416, { "content-range": `bytes */${size}` }).end();
    return;
  }
  response.writeHead(206, {
    "content-range": `bytes ${start}-${end}/${size}`,
    "content-length": end - start + 1,
  });
  createReadStream(file, { start, end }).pipe(response);
}

const etags = new Map<string, string>();

function etagOf(file: string): string {
  const key = `${file} ${statSync(file).mtimeMs}`;
  let etag = etags.get(key);
  if (!etag) {
    etag = `"${createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 20)}"`;
    etags.set(key, etag);
  }
  return etag;
}
