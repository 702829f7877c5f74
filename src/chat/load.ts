import type { Backend } from "../backend/backend.ts";
import { loadDescription } from "../checkpoint/checkpoint.ts";
import type { LanguageDescription, ModelDescription } from "../checkpoint/description.ts";
import { checkTensors } from "../checkpoint/expected-tensors.ts";
import type { CheckpointFiles } from "../checkpoint/files.ts";
import { type Checkpoint, openCheckpoint } from "../checkpoint/open.ts";
import { type CheckpointAddresses, folderAddress } from "../checkpoint/url/address.ts";
import { openUrlFolder } from "../checkpoint/url/url-folder.ts";
import { Engine } from "../engine/engine.ts";
import { OptionError } from "../errors.ts";
import { cacheLayout } from "../model/language.ts";
import { Network } from "../model/network.ts";
import type { OnNotice } from "../notice.ts";
import type { OnProgress } from "../progress.ts";
import { createTokenizer, type Tokenizer, tokenizerFiles } from "../text/tokenizer.ts";
import { type BackendOptions, chooseBackend } from "./choose-backend.ts";
import { checkOptionNames } from "./option-names.ts";

/**
 * "demo", the model that comes with the package; a hub id; a folder, by its path or address; files by their addresses; or
 * the files themselves (`openBlobs`). Paths, hub ids and "demo" need Node.
 */
export type ModelSource = string | URL | CheckpointFiles | CheckpointAddresses;

export interface LoadOptions extends BackendOptions {
  /** Tokens a conversation may have. Default: what the checkpoint was made for. */
  contextLength?: number;
  /** Tokens whose keys and values are kept, over all conversations. Default: as many as 2 GiB hold. */
  cacheTokens?: number;
  /** Of a hub repository: a branch, tag or commit. Default "main". */
  revision?: string;
  /** Use only what the hub's cache has. Default: `HF_HUB_OFFLINE`. */
  offline?: boolean;
  /** Of an address, in a page: keep in the browser what comes, and use what was kept. Default true. */
  cache?: boolean;
  /** Of an address: used in place of the global one, for headers that give access, or a proxy. */
  fetch?: typeof fetch;
  signal?: AbortSignal;
  onProgress?: OnProgress;
  /** Hears of what went another way than one might think, though nothing failed. Default: once on the console. */
  onNotice?: OnNotice;
}

const loadOptionNames: ReadonlySet<string> = new Set([
  "device",
  "precision",
  "weights",
  "contextLength",
  "cacheTokens",
  "revision",
  "offline",
  "cache",
  "fetch",
  "signal",
  "onProgress",
  "onNotice",
]);

/** A loaded checkpoint, in parts. */
export interface ModelParts {
  readonly description: ModelDescription;
  readonly tokenizer: Tokenizer;
  readonly engine: Engine;
  readonly device: string;
  dispose(): Promise<void>;
}

/** Tokens a page of the cache holds. */
export const pageSize = 64;
/** Memory for keys and values, and for image features, unless said otherwise. */
const cacheBytes = 2 ** 31;
export const featureBytes = 2 ** 28;

/** Opens, checks and loads a checkpoint. What was opened is closed again when anything fails. */
export async function loadParts(source: ModelSource, options: LoadOptions): Promise<ModelParts> {
  checkOptionNames(options, loadOptionNames);
  const backend = await chooseBackend(options);
  const cleanUp: (() => unknown)[] = [() => backend[Symbol.asyncDispose]()];
  const dispose = async () => {
    for (const step of cleanUp.splice(0).reverse()) await step();
  };
  try {
    const files = await openSource(source, options);
    cleanUp.push(() => files.close());
    const description = await loadDescription(files);
    const tokenizer = await loadTokenizer(files);
    const store: Checkpoint = await openCheckpoint(files);
    checkTensors(description, store);
    const sizes = engineSizes(description.language, options, backend);
    options.signal?.throwIfAborted();
    const network = await Network.load(description, store, backend, options);
    cleanUp.push(() => network.dispose());
    const engine = new Engine(network, tokenizer, sizes);
    cleanUp.push(() => engine.dispose());
    return { description, tokenizer, engine, device: backend.name, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The tokenizer among a checkpoint's files. */
export async function loadTokenizer(files: CheckpointFiles): Promise<Tokenizer> {
  const found = new Map<string, Uint8Array>();
  for (const name of tokenizerFiles) {
    if (await files.has(name)) found.set(name, await files.read(name));
  }
  return createTokenizer(found);
}

/** The files of a source; a hub repository is fetched first. */
export async function openSource(
  source: ModelSource,
  options: Pick<
    LoadOptions,
    "revision" | "offline" | "cache" | "fetch" | "signal" | "onProgress" | "onNotice"
  > = {},
): Promise<CheckpointFiles> {
  const isText = typeof source === "string";
  const addresses = isText || source instanceof URL ? folderAddress(source) : asAddresses(source);
  if (addresses) {
    refuse(options, ["revision", "offline"], "an address says all there is to say");
    return openUrlFolder(addresses, options);
  }
  refuse(options, ["cache", "fetch"], "only what comes from an address is fetched or kept this way");
  if (!isText) {
    const files = source as CheckpointFiles;
    if (typeof files?.read === "function" && typeof files.close === "function") return files;
    throw new OptionError(
      "source",
      source,
      'must be "demo", a hub id, a folder, an address, or files (openBlobs)',
    );
  }
  if (typeof process === "undefined" || !process.versions?.node) throw needsNode(source);
  const { builtInModel, builtInName } = await import("./built-in-model.node.ts");
  const { resolveSource } = await import("../checkpoint/hub/resolve.node.ts");
  const { openFolder } = await import("../checkpoint/folder.node.ts");
  const { revision, offline, signal, onProgress } = options;
  if (source === builtInName) return openFolder(builtInModel());
  return openFolder(await resolveSource(source, { revision, offline, signal, onProgress }));
}

function asAddresses(source: unknown): CheckpointAddresses | undefined {
  const list = source as Partial<CheckpointAddresses> | null | undefined;
  const isList = typeof list?.addresses === "object" && list.addresses !== null;
  return isList ? (source as CheckpointAddresses) : undefined;
}

function refuse(options: LoadOptions, names: readonly (keyof LoadOptions)[], why: string): void {
  for (const name of names) {
    if (options[name] !== undefined) throw new OptionError(name, options[name], why);
  }
}

function needsNode(source: string): OptionError {
  const remedy =
    source === "demo"
      ? 'in a page: import { demo } from "internvl/demo", and load that'
      : "folders and hub ids need Node; in a page give an address (https://huggingface.co/Org/Name/resolve/main/) or files (openBlobs)";
  return new OptionError("source", source, remedy);
}

function engineSizes(language: LanguageDescription, options: LoadOptions, backend: Backend) {
  const { contextLength = language.contextLength } = options;
  const bytesPerToken = language.layers * 2 * language.keyValueHeads * language.headSize * 4;
  const fitting = Math.max(Math.floor(cacheBytes / bytesPerToken), 8192);
  // The engine takes a page more than it is asked for.
  const most = ((backend.largestCache?.(cacheLayout(language, pageSize)) ?? Infinity) - 1) * pageSize;
  const { cacheTokens = Math.min(4 * contextLength, fitting, most) } = options;
  for (const [option, value] of Object.entries({ contextLength, cacheTokens })) {
    if (!Number.isSafeInteger(value) || value < pageSize) {
      throw new OptionError(option, value, `must be a whole number of at least ${pageSize} tokens`);
    }
  }
  if (cacheTokens > most) {
    throw new OptionError("cacheTokens", cacheTokens, `may be at most ${most} on this device`);
  }
  return { contextLength, cacheTokens, pageSize, stepTokens: backend.tokensAtOnce, featureBytes };
}
