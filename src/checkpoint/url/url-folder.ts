/** A checkpoint on the web. */

import { DisposedError, DownloadError } from "../../errors.ts";
import type { OnNotice } from "../../notice.ts";
import type { OnProgress } from "../../progress.ts";
import { type CheckpointFiles, checkRange } from "../files.ts";
import type { Patience } from "../hub/retry.ts";
import { addressFinder, type CheckpointAddresses, shownAddress } from "./address.ts";
import { type BlockFile, Blocks } from "./blocks.ts";
import { DownloadProgress } from "./download-progress.ts";
import { KeptFiles } from "./kept-files.ts";
import { openRemote, type RemoteFacts, readRemote, type Server } from "./server.ts";

export interface UrlFolderOptions {
  /** Keep what comes in the browser, and use what was kept. Default true; Node keeps nothing. */
  cache?: boolean;
  /** Used in place of the global one: for headers that give access, a proxy. */
  fetch?: typeof fetch;
  signal?: AbortSignal;
  onProgress?: OnProgress;
  onNotice?: OnNotice;
  patience?: Partial<Patience>;
}

interface OpenFile {
  readonly facts: RemoteFacts;
  readonly blocks: BlockFile;
}

/**
 * Opens a folder by its address (`folderAddress`), or files by theirs. Files are read by byte ranges, a few pieces of 8 MiB at a time, and none
 * is ever whole in memory but the short ones. Each answer is held against the first: a file that changes is an error.
 * @throws DownloadError when there is no config.json to be had, and why.
 */
export async function openUrlFolder(
  source: URL | CheckpointAddresses,
  options: UrlFolderOptions = {},
): Promise<CheckpointFiles> {
  const label = source instanceof URL ? shownAddress(source) : source.label;
  const addressOf = addressFinder(source);
  const closing = new AbortController();
  const patience = { attempts: 5, delayMilliseconds: 500, stallMilliseconds: 20_000, ...options.patience };
  const server: Server = {
    patience,
    signal: options.signal ? AbortSignal.any([options.signal, closing.signal]) : closing.signal,
    fetch: options.fetch ?? ((...request) => fetch(...request)),
  };
  const keptFiles = options.cache === false ? undefined : await KeptFiles.open(options.onNotice);
  const progress = new DownloadProgress(options.onProgress);
  const blocks = new Blocks();
  const files = new Map<string, Promise<OpenFile | DownloadError>>();
  let serverAway = false;

  async function open(name: string): Promise<OpenFile | DownloadError> {
    const url = addressOf(name);
    if (!url) return new DownloadError(`${label}/${name}`, "missing", "there is no address of this file");
    const known = await keptFiles?.facts(url);
    if (serverAway && !known)
      return new DownloadError(shownAddress(url), "missing", "was not kept, and the server is away");
    let facts: RemoteFacts;
    try {
      // Where the file was kept, a server that is away need not be waited for, and not once more for each file.
      if (known && serverAway) facts = known;
      else
        facts = await openRemote(known ? { ...server, patience: { ...patience, attempts: 1 } } : server, url);
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      if (absent.has(error.reason)) return error;
      if (!known || !unanswered.has(error.reason)) throw error;
      serverAway = true;
      facts = known;
    }
    const kept = await keptFiles?.file(url, facts);
    const counter = progress.file(name, facts);
    const source = {
      size: facts.size,
      kept,
      fetch: (start: number, end: number) =>
        readRemote(server, url, facts, [start, end], counter.onBytes(start)),
      onKept: (start: number, bytes: number) => counter.onBytes(start)(bytes),
    };
    return { facts, blocks: blocks.file(name, source) };
  }

  async function find(name: string): Promise<OpenFile | DownloadError> {
    if (closing.signal.aborted) throw new DisposedError(`${label}: its files are closed`);
    let file = files.get(name);
    if (!file) {
      file = open(name);
      files.set(name, file);
      file.catch(() => files.delete(name));
    }
    return file;
  }

  async function fileOf(name: string): Promise<OpenFile> {
    const file = await find(name);
    if (file instanceof DownloadError) throw file;
    return file;
  }

  await fileOf("config.json");
  return {
    label,
    has: async (name) => !((await find(name)) instanceof DownloadError),
    size: async (name) => (await fileOf(name)).facts.size,
    async read(name, start = 0, end) {
      const { facts, blocks } = await fileOf(name);
      const stop = end ?? facts.size;
      checkRange(`${label.replace(/\/$/, "")}/${name}`, start, stop, facts.size);
      return stop <= facts.head.length ? facts.head.slice(start, stop) : blocks.read(start, stop);
    },
    async close() {
      closing.abort(new DisposedError(`${label}: its files are closed`));
      blocks.clear();
    },
  };
}

/** Answers that mean that a folder has no such file. Some servers give their start page then, and object stores 403. */
const absent: ReadonlySet<string> = new Set(["missing", "html", "refused"]);
/** What a page that was here before need not mind. */
const unanswered: ReadonlySet<string> = new Set(["offline", "unreachable"]);
