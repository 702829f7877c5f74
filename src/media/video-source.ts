import { FileError, MediaError, OptionError } from "../errors.ts";
import type { OnProgress } from "../progress.ts";

/** Where a clip comes from: a path (Node), a URL, or its bytes. */
export type VideoSource = string | URL | Uint8Array | ArrayBuffer | Blob;

export interface VideoLimits {
  /** Bytes of a file on disk, or of a Blob: read by ranges, never whole. 2 GiB. */
  maxFileBytes: number;
  /** Bytes of a clip that is held in memory: bytes given, or fetched from a URL. 512 MiB. */
  maxMemoryBytes: number;
}

export const defaultVideoLimits: Readonly<VideoLimits> = { maxFileBytes: 2 ** 31, maxMemoryBytes: 2 ** 29 };

/** A clip's bytes, read by ranges. Close it when done. */
export interface ClipBytes {
  /** For messages: the path, the URL, or `bytes`. */
  name: string;
  size: number;
  /** The bytes `start <= i < end`; the caller keeps within `size`. */
  read(start: number, end: number): Promise<Uint8Array>;
  close(): Promise<void>;
  /** The file on disk, when it is one. */
  path?: string;
}

interface OpenOptions {
  limits: VideoLimits;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

export function isNode(): boolean {
  return typeof process !== "undefined" && process.versions?.node !== undefined;
}

/**
 * Opens the clip for reading by ranges. A URL other than `file:` is fetched into memory.
 *
 * @throws FileError (no such file), MediaError (too large, the fetch failed), OptionError (not a source)
 */
export async function openClipBytes(source: VideoSource, options: OpenOptions): Promise<ClipBytes> {
  const { maxFileBytes, maxMemoryBytes } = options.limits;
  if (source instanceof Uint8Array) return fromBytes("bytes", source, maxMemoryBytes);
  if (source instanceof ArrayBuffer) return fromBytes("bytes", new Uint8Array(source), maxMemoryBytes);
  if (source instanceof Blob) {
    requireSize("blob", source.size, maxFileBytes, "maxFileBytes");
    return {
      name: "blob",
      size: source.size,
      read: async (start, end) => new Uint8Array(await source.slice(start, end).arrayBuffer()),
      close: async () => {},
    };
  }
  if (typeof source !== "string" && !(source instanceof URL)) {
    throw new OptionError("video", source, "must be a path, a URL, bytes or a Blob");
  }

  const address = String(source);
  // In a browser every string is a URL, relative ones included. In Node a scheme of one letter is a Windows drive.
  const isAddress = source instanceof URL || !isNode() || /^[a-z][a-z0-9+.-]+:/i.test(address);
  if (isAddress && !address.startsWith("file:")) {
    return fromBytes(address, await fetchBytes(address, options), maxMemoryBytes);
  }
  if (!isNode()) throw new FileError(address, "a web page cannot open a path; give the File or its bytes");
  const { openFile } = await import("./video-file.node.ts");
  const file = await openFile(isAddress ? new URL(address) : address);
  try {
    requireSize(file.name, file.size, maxFileBytes, "maxFileBytes");
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function fromBytes(name: string, bytes: Uint8Array, limit: number): ClipBytes {
  requireSize(name, bytes.length, limit, "maxMemoryBytes");
  return {
    name,
    size: bytes.length,
    read: async (start, end) => bytes.subarray(start, end),
    close: async () => {},
  };
}

function requireSize(name: string, size: number, limit: number, limitName: keyof VideoLimits): void {
  if (size === 0) throw new MediaError(name, "is empty; give a video file");
  if (size > limit) {
    throw new MediaError(
      name,
      `has ${size} bytes, more than limits.${limitName} of ${limit}; raise it or cut the clip`,
    );
  }
}

async function fetchBytes(address: string, { limits, signal, onProgress }: OpenOptions): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(address, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new MediaError(address, "could not be fetched; check the address and the connection", {
      cause: error,
    });
  }
  if (!response.ok || response.body === null) {
    throw new MediaError(address, `the server answered ${response.status}; check the address`);
  }
  const total = Number(response.headers.get("content-length") ?? 0);
  if (total > limits.maxMemoryBytes) {
    await response.body.cancel();
    requireSize(address, total, limits.maxMemoryBytes, "maxMemoryBytes");
  }
  const parts: Uint8Array[] = [];
  let loaded = 0;
  // The reader, not `for await`: not every browser iterates streams.
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      loaded += value.length;
      requireSize(address, loaded, limits.maxMemoryBytes, "maxMemoryBytes");
      parts.push(value);
      onProgress?.({ phase: "download", file: address, loaded, total: Math.max(total, loaded) });
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    signal?.throwIfAborted();
    if (error instanceof MediaError) throw error;
    throw new MediaError(address, `the download broke off after ${loaded} bytes; try again`, {
      cause: error,
    });
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
