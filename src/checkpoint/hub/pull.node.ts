import { homedir } from "node:os";
import { FileError, HubError, OptionError } from "../../errors.ts";
import type { OnProgress } from "../../progress.ts";
import type { Snapshot } from "./cache.node.ts";
import { RepositoryCache } from "./cache.node.ts";
import { describingFiles, indexFile, singleFile, weightsEntry } from "./checkpoint-files.ts";
import { checkEndpoint, cleanToken, readHubEnvironment } from "./environment.ts";
import { fetchFiles } from "./fetch-files.node.ts";
import type { Listing } from "./listing.ts";
import { listRepository } from "./listing.ts";
import { checkRepository, checkRevision, isCommit } from "./names.ts";
import { unreachable } from "./refusal.ts";
import type { Hub } from "./request.ts";
import type { Patience } from "./retry.ts";
import { TransientError } from "./retry.ts";
import { readToken } from "./token.node.ts";

/** What is not given is taken from the environment. */
export interface PullOptions {
  /** A branch, a tag or a commit hash. */
  revision?: string;
  /** The folder that holds the `models--Org--Name` folders (`HF_HUB_CACHE`). */
  cacheFolder?: string;
  /** The hub's address (`HF_ENDPOINT`). */
  endpoint?: string;
  /** `HF_TOKEN`. */
  token?: string;
  /** Use what the cache has, and make no request (`HF_HUB_OFFLINE`). */
  offline?: boolean;
  signal?: AbortSignal;
  /** `download`: bytes of everything this call fetches; `verify`: bytes hashed of a file's earlier part. */
  onProgress?: OnProgress;
  /** In place of `process.env`. */
  environment?: Readonly<Record<string, string | undefined>>;
  patience?: Partial<Patience>;
}

/**
 * Makes sure that a checkpoint of the hub is in the cache, and says where: the files that it takes to run it (config,
 * tokenizer, safetensors), none of the rest. No request is made for a complete snapshot of a commit, or offline; when the hub
 * cannot be reached, the last complete snapshot of the branch or tag serves.
 * @throws OptionError when the repository, revision, endpoint or patience is malformed
 * @throws HubError when the hub or the cache cannot give the checkpoint; the message says why and what helps
 * @throws FileError when the cache cannot be written, or the token file not be read
 * @throws CheckpointError when the index of the shards is broken
 * @throws the signal's reason as soon as it is aborted; what has come stays for the next call
 */
export async function pull(repository: string, options: PullOptions = {}): Promise<Snapshot> {
  const environment = readHubEnvironment(options.environment ?? process.env, homedir());
  const revision = checkRevision(options.revision ?? "main");
  const cacheFolder = options.cacheFolder ?? environment.cacheFolder;
  const cache = new RepositoryCache(cacheFolder, checkRepository(repository), environment.symlinks);
  options.signal?.throwIfAborted();

  const cached = await cache.complete(revision);
  if (cached !== undefined && isCommit(revision)) return cached;
  if (options.offline ?? environment.offline) {
    if (cached !== undefined) return cached;
    throw new HubError(
      repository,
      `revision ${revision} is not complete in ${cacheFolder}, and offline mode (HF_HUB_OFFLINE) allows no download: go online once to get it`,
    );
  }
  const hub: Hub = {
    endpoint: checkEndpoint("endpoint", options.endpoint ?? environment.endpoint),
    repository,
    revision,
    token: options.token === undefined ? await readToken(environment) : cleanToken(options.token),
    patience: checkPatience({
      attempts: 5,
      delayMilliseconds: 500,
      stallMilliseconds: environment.stallMilliseconds,
      ...options.patience,
    }),
    signal: options.signal,
  };
  const listing = await listOrFallBack(hub, cached);
  if (listing === undefined) return cached!;
  try {
    return await download(hub, cache, listing, options.onProgress);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw new FileError(
      cache.folder,
      `the cache cannot be written (${code}): mend it, or name another place with HF_HUB_CACHE`,
      { cause: error },
    );
  }
}

async function download(
  hub: Hub,
  cache: RepositoryCache,
  listing: Listing,
  onProgress: OnProgress | undefined,
): Promise<Snapshot> {
  const { repository, revision } = hub;
  const weights = weightsEntry(listing.files);
  if (weights === undefined) {
    throw new HubError(
      repository,
      `revision ${revision} has no ${singleFile} and no ${indexFile}; other weight formats are not read: choose a repository or revision that has safetensors`,
    );
  }
  if (!listing.files.has("config.json")) {
    throw new HubError(repository, `revision ${revision} has no config.json, and so is not a checkpoint`);
  }
  const { commit } = listing;
  const describing = describingFiles(listing.files);
  if (weights === indexFile) await fetchFiles(hub, cache, commit, [[indexFile]]);
  const shards = weights === singleFile ? [singleFile] : await cache.shards(commit);
  for (const shard of shards) {
    if (listing.files.has(shard)) continue;
    throw new HubError(
      repository,
      `${indexFile} names it, but revision ${revision} does not have it: the upload is incomplete`,
      { file: shard },
    );
  }
  // The weights come last: a snapshot that has them all has everything, however often its download was cut short.
  await fetchFiles(hub, cache, commit, [describing, shards], onProgress);
  await cache.writeRef(revision, commit);
  return { folder: cache.snapshot(commit), commit, files: [...describing, ...shards].sort() };
}

/** The hub's listing; undefined when the hub cannot be reached and the cache can stand in for it. */
async function listOrFallBack(hub: Hub, cached: Snapshot | undefined): Promise<Listing | undefined> {
  // Nobody should wait through all the retries for what is already here.
  const patience = cached === undefined ? hub.patience : { ...hub.patience, attempts: 1 };
  try {
    return await listRepository({ ...hub, patience });
  } catch (error) {
    if (!(error instanceof TransientError)) throw error;
    if (cached === undefined) throw unreachable(hub, error);
    return undefined;
  }
}

function checkPatience(patience: Patience): Patience {
  for (const [name, value] of Object.entries(patience)) {
    const least = name === "delayMilliseconds" ? 0 : 1;
    if (typeof value !== "number" || !Number.isFinite(value) || value < least) {
      throw new OptionError(`patience.${name}`, value, `must be a number, at least ${least}`);
    }
  }
  return patience;
}
