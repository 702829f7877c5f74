import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import {
  describing,
  describingFiles,
  hasTokenizer,
  indexFile,
  shardsOf,
  singleFile,
  weightsEntry,
} from "./checkpoint-files.ts";
import { isCommit } from "./names.ts";

/** A checkpoint in the cache: its folder, its commit, and the names of its files below the folder. */
export interface Snapshot {
  folder: string;
  commit: string;
  files: string[];
}

/**
 * One repository in the cache that `huggingface_hub` keeps, in its layout (guide "Understand caching"):
 * ```
 * models--Org--Name/refs/main                         the commit, as text
 * models--Org--Name/blobs/<etag>                      the bytes; <etag>.incomplete while they come
 * models--Org--Name/snapshots/<commit>/<file>         a relative link to the blob, or the file itself without links
 * .locks/models--Org--Name/<etag>.internvl.lock       who downloads it (Python's own locks end in <etag>.lock)
 * ```
 */
export class RepositoryCache {
  readonly folder: string;
  readonly #lockFolder: string;
  readonly #symlinks: boolean;

  constructor(cacheFolder: string, repository: string, symlinks: boolean) {
    const name = `models--${repository.replace("/", "--")}`;
    this.folder = join(cacheFolder, name);
    this.#lockFolder = join(cacheFolder, ".locks", name);
    this.#symlinks = symlinks;
  }

  async makeFolder(): Promise<string> {
    await mkdir(this.folder, { recursive: true });
    return this.folder;
  }

  blob(etag: string): string {
    return join(this.folder, "blobs", etag);
  }

  lock(etag: string): string {
    return join(this.#lockFolder, `${etag}.internvl.lock`);
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** The commit that a branch or tag was when it was last downloaded. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await readFile(join(this.folder, "refs", revision), "utf8").catch(() => "");
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  /** Whether the snapshot has the file. A link to a blob that is gone does not count. */
  async has(commit: string, file: string): Promise<boolean> {
    return await isFile(join(this.snapshot(commit), file));
  }

  /**
   * The snapshot of a revision when it has a whole checkpoint: the config, a tokenizer, and every shard.
   * @throws CheckpointError when the index of its shards cannot be read
   */
  async complete(revision: string): Promise<Snapshot | undefined> {
    const commit = await this.commitOf(revision);
    if (commit === undefined) return undefined;
    const folder = this.snapshot(commit);
    const present = new Set<string>();
    for (const file of [...describing, singleFile, indexFile]) {
      if (await this.has(commit, file)) present.add(file);
    }
    const weights = weightsEntry(present);
    if (weights === undefined || !present.has("config.json") || !hasTokenizer(present)) return undefined;
    const shards = weights === singleFile ? [singleFile] : await this.shards(commit);
    for (const shard of shards) if (!(await this.has(commit, shard))) return undefined;
    return { folder, commit, files: [...describingFiles(present), ...shards].sort() };
  }

  /** The shards that the snapshot's index names. */
  async shards(commit: string): Promise<string[]> {
    const path = join(this.snapshot(commit), indexFile);
    return shardsOf(await readFile(path, "utf8"), path);
  }

  /**
   * Puts a blob into the snapshot: a relative link, or the file itself where links are not to be had.
   * @param fresh nothing else can be using the blob, so that it may be moved instead of copied
   */
  async place(commit: string, file: string, etag: string, fresh: boolean): Promise<void> {
    const path = join(this.snapshot(commit), file);
    const blob = this.blob(etag);
    await mkdir(dirname(path), { recursive: true });
    // A link to a blob that is gone is in the way.
    await rm(path, { force: true });
    if (this.#symlinks && (await tryLink(relative(dirname(path), blob), path))) return;
    if (fresh) return await rename(blob, path);
    await copyFile(blob, `${path}.incomplete`);
    await rename(`${path}.incomplete`, path);
  }

  /** Notes which commit a branch or tag is now. Writes only what changes: the cache may be read-only. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if ((await this.commitOf(revision)) === commit) return;
    const path = join(this.folder, "refs", revision);
    await mkdir(dirname(path), { recursive: true });
    const draft = `${path}.${randomUUID()}.incomplete`;
    await writeFile(draft, commit);
    await rename(draft, path);
  }
}

/** Bytes of a regular file, links followed; undefined where there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

/** False on Windows without developer mode, and on file systems without links. */
async function tryLink(target: string, path: string): Promise<boolean> {
  try {
    await symlink(target, path, "file");
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["EPERM", "ENOSYS", "ENOTSUP", "EINVAL"].includes(code)) return false;
    throw error;
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await fileSize(path)) !== undefined;
}
