/**
 * A hub on 127.0.0.1 for tests: the listing, the resolve addresses, and a content network on a second port, with the
 * headers and redirects of the real one, and with faults to order.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What goes wrong with one request. Counts are bytes of the answer's body. */
export type Fault =
  | { kind: "drop"; after: number }
  | { kind: "stall"; after: number }
  | { kind: "truncate"; after: number }
  | { kind: "slow"; piece: number; milliseconds: number }
  | { kind: "ignoreRange"; dropAfter?: number }
  | { kind: "wrongRange" }
  | { kind: "corrupt" }
  | { kind: "longer" }
  | { kind: "html" }
  | { kind: "status"; status: number; headers?: Record<string, string> };

export interface Recorded {
  server: "hub" | "content";
  method: string;
  file: string;
  range: string | undefined;
  authorization: string | undefined;
  /** Body bytes handed to the connection. */
  sent: number;
}

export class StandInHub {
  readonly commit = "0123456789abcdef0123456789abcdef01234567";
  readonly repository = "Org/Tiny";
  readonly requests: Recorded[] = [];
  /** Faults of the next GETs of a file's bytes, in order; "*" at the end of a list's life means none. */
  readonly faults = new Map<string, Fault[]>();
  readonly headFaults = new Map<string, Fault[]>();
  readonly listingFaults: Fault[] = [];
  /** Headers of a file's HEAD answer that are not the true ones. */
  readonly lies = new Map<string, Record<string, string>>();
  readonly revisions = new Map<string, string>([["main", this.commit]]);
  /** When set, everything but the content network wants it. */
  requiredToken: string | undefined;
  #hub!: Server;
  #content!: Server;
  readonly files: Map<string, Buffer>;

  constructor(files: Record<string, Uint8Array>) {
    this.files = new Map(Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes)]));
  }

  static async start(files: Record<string, Uint8Array>): Promise<StandInHub> {
    const standIn = new StandInHub(files);
    standIn.#hub = await listen((request, response) => standIn.#answerHub(request, response));
    standIn.#content = await listen((request, response) => standIn.#answerContent(request, response));
    return standIn;
  }

  get endpoint(): string {
    return address(this.#hub);
  }

  etag(file: string): string {
    const bytes = this.files.get(file)!;
    if (isLarge(file)) return createHash("sha256").update(bytes).digest("hex");
    return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  }

  /** Requests for the bytes of a file. */
  gets(file: string): Recorded[] {
    const server = isLarge(file) ? "content" : "hub";
    return this.requests.filter((r) => r.file === file && r.method === "GET" && r.server === server);
  }

  async close(): Promise<void> {
    for (const server of [this.#hub, this.#content]) {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    }
  }

  #record(server: Recorded["server"], request: IncomingMessage, file: string): Recorded {
    const { range, authorization } = request.headers;
    const recorded = { server, method: request.method!, file, range, authorization, sent: 0 };
    this.requests.push(recorded);
    return recorded;
  }

  #answerHub(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url!, "http://x").pathname);
    const moved = path.replace("Old/Name", this.repository);
    const api = `/api/models/${this.repository}/revision/`;
    const [, revision = "", file = ""] =
      new RegExp(`^/${this.repository}/resolve/([^/]+)/(.+)$`).exec(moved) ?? [];
    const recorded = this.#record("hub", request, file === "" ? "listing" : file);
    if (moved !== path) {
      response.writeHead(307, { location: moved }).end("moved");
    } else if (
      this.requiredToken !== undefined &&
      request.headers.authorization !== `Bearer ${this.requiredToken}`
    ) {
      refuse(response, 401, "RepoNotFound");
    } else if (path.startsWith(api)) {
      this.#list(response, path.slice(api.length));
    } else if (file === "") {
      refuse(response, 404, "RepoNotFound");
    } else if (revision !== this.commit || !this.files.has(file)) {
      refuse(response, 404, "EntryNotFound");
    } else {
      this.#resolve(request, response, recorded);
    }
  }

  #list(response: ServerResponse, revision: string): void {
    const fault = this.listingFaults.shift();
    if (fault !== undefined) {
      fail(response, fault);
      return;
    }
    const commit = revision === this.commit ? revision : this.revisions.get(revision);
    if (commit === undefined) {
      refuse(response, 404, "RevisionNotFound");
      return;
    }
    const siblings = [...this.files.keys()].map((rfilename) => ({ rfilename }));
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ id: this.repository, sha: commit, siblings }));
  }

  #resolve(request: IncomingMessage, response: ServerResponse, recorded: Recorded): void {
    const { file } = recorded;
    const bytes = this.files.get(file)!;
    const lie = this.lies.get(file);
    const headers: Record<string, string> = { "x-repo-commit": this.commit, etag: `"${this.etag(file)}"` };
    const fault = request.method === "HEAD" ? this.headFaults.get(file)?.shift() : undefined;
    if (fault !== undefined) {
      fail(response, fault);
      return;
    }
    if (isLarge(file)) {
      headers["x-linked-etag"] = `"${this.etag(file)}"`;
      headers["x-linked-size"] = String(bytes.length);
      headers.location = `${address(this.#content)}/${encodeURIComponent(file)}?signature=once`;
      response.writeHead(302, { ...headers, ...lie }).end(request.method === "HEAD" ? undefined : "moved");
    } else if (request.method === "HEAD") {
      response.writeHead(200, { ...headers, "content-length": String(bytes.length), ...lie }).end();
    } else {
      this.#send(request, response, recorded, headers);
    }
  }

  #answerContent(request: IncomingMessage, response: ServerResponse): void {
    const file = decodeURIComponent(new URL(request.url!, "http://x").pathname.slice(1));
    // A content network has etags of its own.
    this.#send(request, response, this.#record("content", request, file), { etag: '"of-the-network-7"' });
  }

  #send(
    request: IncomingMessage,
    response: ServerResponse,
    recorded: Recorded,
    headers: Record<string, string>,
  ): void {
    const fault = this.faults.get(recorded.file)?.shift();
    if (fault?.kind === "html" || fault?.kind === "status") {
      fail(response, fault);
      return;
    }
    let bytes = this.files.get(recorded.file)!;
    if (fault?.kind === "corrupt") {
      bytes = Buffer.from(bytes);
      bytes[bytes.length - 1]! ^= 1;
    }
    if (fault?.kind === "longer") bytes = Buffer.concat([bytes, Buffer.from("more")]);
    let first = 0;
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
    if (range !== null && fault?.kind !== "ignoreRange") {
      first = fault?.kind === "wrongRange" ? 0 : Number(range[1]);
      headers["content-range"] = `bytes ${first}-${bytes.length - 1}/${bytes.length}`;
    }
    const body = bytes.subarray(first);
    // Truncated content is sent in chunks without a length, as a proxy that gave up does.
    if (fault?.kind !== "truncate") headers["content-length"] = String(body.length);
    response.writeHead(headers["content-range"] === undefined ? 200 : 206, headers);
    void transmit(response, body, fault, recorded);
  }
}

/** Large files are stored by LFS, and sent by the content network. */
function isLarge(file: string): boolean {
  return file.endsWith(".safetensors") || file === "tokenizer.model";
}

async function transmit(
  response: ServerResponse,
  body: Buffer,
  fault: Fault | undefined,
  recorded: Recorded,
): Promise<void> {
  const write = async (part: Buffer): Promise<void> => {
    recorded.sent += part.length;
    await new Promise((resolve) => response.write(part, resolve));
  };
  if (fault?.kind === "slow") {
    for (let offset = 0; offset < body.length && !response.destroyed; offset += fault.piece) {
      await write(body.subarray(offset, offset + fault.piece));
      await new Promise((resolve) => setTimeout(resolve, fault.milliseconds));
    }
    response.end();
    return;
  }
  const end =
    fault?.kind === "ignoreRange"
      ? fault.dropAfter
      : fault !== undefined && "after" in fault
        ? fault.after
        : undefined;
  await write(body.subarray(0, end));
  if (fault?.kind === "stall") return;
  if (fault?.kind === "drop" || (fault?.kind === "ignoreRange" && end !== undefined)) {
    // Time for the bytes to arrive: a reset may overtake them.
    setTimeout(() => response.destroy(), 30);
  } else {
    response.end();
  }
}

function fail(response: ServerResponse, fault: Fault): void {
  if (fault.kind === "status") {
    response.writeHead(fault.status, fault.headers).end("no");
  } else if (fault.kind === "drop") {
    response.destroy();
  } else if (fault.kind === "html") {
    response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in</html>");
  }
  // A stall says nothing at all.
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { "x-error-code": code }).end(JSON.stringify({ error: code }));
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
