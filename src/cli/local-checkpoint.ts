import { readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { builtInModel, builtInName } from "../chat/built-in-model.node.ts";
import { RepositoryCache, type Snapshot } from "../checkpoint/hub/cache.node.ts";
import { readHubEnvironment } from "../checkpoint/hub/environment.ts";
import { checkRevision, isRepository } from "../checkpoint/hub/names.ts";
import { UsageError } from "./usage.ts";
import type { World } from "./world.ts";

/**
 * The folder of a checkpoint that is on this machine: the built-in one, a folder, or what the hub's cache has of `Org/Name`. Nothing is
 * downloaded: looking at a checkpoint should not cost gigabytes.
 */
export async function localFolder(
  source: string,
  revision: string | undefined,
  { env }: World,
): Promise<string> {
  if (source === builtInName) return builtInModel();
  if ((await stat(source).catch(() => undefined))?.isDirectory()) return source;
  if (!isRepository(source)) {
    throw new UsageError(`${source}: there is no such folder, and it is no hub id of the form Org/Name`);
  }
  const { cacheFolder, symlinks } = readHubEnvironment(env, homedir());
  const cache = new RepositoryCache(cacheFolder, source, symlinks);
  const snapshot = await cache.complete(checkRevision(revision ?? "main"));
  if (snapshot) return snapshot.folder;
  throw new UsageError(
    `${source}: there is no such folder, and ${cacheFolder} does not have all of it; run: internvl pull ${source}`,
  );
}

export interface CachedRepository {
  readonly repository: string;
  readonly revision: string;
  /** Undefined when files are missing. */
  readonly snapshot: Snapshot | undefined;
}

/** The repositories in the hub's cache, each revision that has a name. */
export async function cachedRepositories(
  cacheFolder: string,
  symlinks: boolean,
): Promise<CachedRepository[]> {
  const found: CachedRepository[] = [];
  const folders = await readdir(cacheFolder).catch(() => []);
  for (const folder of folders.sort()) {
    const repository = folder.replace(/^models--/, "").replace("--", "/");
    if (!folder.startsWith("models--") || !isRepository(repository)) continue;
    const cache = new RepositoryCache(cacheFolder, repository, symlinks);
    for (const revision of await namesBelow(join(cacheFolder, folder, "refs"))) {
      const snapshot = await cache.complete(revision).catch(() => undefined);
      found.push({ repository, revision, snapshot });
    }
  }
  return found;
}

/** Files at any depth, with `/` between: `main`, `refs/pr/1`. */
async function namesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".incomplete"))
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();
}
