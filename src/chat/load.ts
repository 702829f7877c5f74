import { loadDescription } from "../checkpoint/checkpoint.ts";
import type { LanguageDescription, ModelDescription } from "../checkpoint/description.ts";
import { checkTensors } from "../checkpoint/expected-tensors.ts";
import type { CheckpointFiles } from "../checkpoint/files.ts";
import { type Checkpoint, openCheckpoint } from "../checkpoint/open.ts";
import { Engine } from "../engine/engine.ts";
import { OptionError } from "../errors.ts";
import { Network } from "../model/network.ts";
import type { OnProgress } from "../progress.ts";
import { createTokenizer, type Tokenizer, tokenizerFiles } from "../text/tokenizer.ts";
import { type BackendOptions, chooseBackend } from "./choose-backend.ts";
import { checkOptionNames } from "./option-names.ts";

/** "demo", the model that comes with the package; a hub id; a folder; or the files themselves (`openBlobs`). */
export type ModelSource = string | CheckpointFiles;

export interface LoadOptions extends BackendOptions {
  /** Tokens a conversation may have. Default: what the checkpoint was made for. */
  contextLength?: number;
  /** Tokens whose keys and values are kept, over all conversations. Default: as many as 2 GiB hold. */
  cacheTokens?: number;
  /** Of a hub repository: a branch, tag or commit. Default "main". */
  revision?: string;
  /** Use only what the hub's cache has. Default: `HF_HUB_OFFLINE`. */
  offline?: boolean;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

const loadOptionNames: ReadonlySet<string> = new Set([
  "device",
  "precision",
  "weights",
  "contextLength",
  "cacheTokens",
  "revision",
  "offline",
  "signal",
  "onProgress",
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
/** New tokens computed in one step. */
export const stepTokens = 512;
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
    const sizes = engineSizes(description.language, options);
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

/** The files of a source; a hub repository is fetched first. Strings need Node. */
export async function openSource(
  source: ModelSource,
  options: Pick<LoadOptions, "revision" | "offline" | "signal" | "onProgress">,
): Promise<CheckpointFiles> {
  if (typeof source !== "string") {
    if (typeof source?.read === "function" && typeof source.close === "function") return source;
    throw new OptionError("source", source, 'must be "demo", a hub id, a folder, or files (openBlobs)');
  }
  if (typeof process === "undefined" || !process.versions?.node) {
    throw new OptionError(
      "source",
      source,
      "folders and hub ids need Node; in a browser give the files (openBlobs)",
    );
  }
  const { builtInModel, builtInName } = await import("./built-in-model.node.ts");
  const { resolveSource } = await import("../checkpoint/hub/resolve.node.ts");
  const { openFolder } = await import("../checkpoint/folder.node.ts");
  const { revision, offline, signal, onProgress } = options;
  if (source === builtInName) return openFolder(builtInModel());
  return openFolder(await resolveSource(source, { revision, offline, signal, onProgress }));
}

function engineSizes(language: LanguageDescription, options: LoadOptions) {
  const { contextLength = language.contextLength } = options;
  const bytesPerToken = language.layers * 2 * language.keyValueHeads * language.headSize * 4;
  const fitting = Math.max(Math.floor(cacheBytes / bytesPerToken), 8192);
  const { cacheTokens = Math.min(4 * contextLength, fitting) } = options;
  for (const [option, value] of Object.entries({ contextLength, cacheTokens })) {
    if (!Number.isSafeInteger(value) || value < pageSize) {
      throw new OptionError(option, value, `must be a whole number of at least ${pageSize} tokens`);
    }
  }
  return { contextLength, cacheTokens, pageSize, stepTokens, featureBytes };
}
