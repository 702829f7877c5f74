/** Repositories for the stand-in hub, and temporary cache folders. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StandInHub } from "./stand-in-hub.ts";

/** Bytes that are the same every time, and not the same everywhere. */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** What a checkpoint in one file needs: 300 kB of weights. */
export const wanted: Record<string, Uint8Array> = {
  "config.json": Buffer.from('{"model_type":"internvl_chat"}'),
  "generation_config.json": Buffer.from("{}"),
  "added_tokens.json": Buffer.from('{"<img>":92544}'),
  "tokenizer_config.json": Buffer.from('{"tokenizer_class":"InternLM2Tokenizer"}'),
  "tokenizer.model": noise(20_000, 1),
  "model.safetensors": noise(300_000, 2),
};

/** What a repository has beside it. */
export const unwanted: Record<string, Uint8Array> = {
  "README.md": Buffer.from("# Tiny"),
  "conversation.py": Buffer.from("pass"),
  "pytorch_model.bin": Buffer.from("pickle"),
  "examples/image1.jpg": Buffer.from("jpeg"),
};

export function sharded(): Record<string, Uint8Array> {
  const { "model.safetensors": _, ...rest } = wanted;
  const weight_map: Record<string, string> = {};
  const shards: Record<string, Uint8Array> = {};
  for (let i = 1; i <= 3; i++) {
    const shard = `model-0000${i}-of-00003.safetensors`;
    weight_map[`tensor${i}`] = shard;
    shards[shard] = noise(100_000 + i, i);
  }
  const index = Buffer.from(JSON.stringify({ metadata: { total_size: 300_006 }, weight_map }));
  return { ...rest, "model.safetensors.index.json": index, ...shards };
}

/** One hub and one cache for a test, cleared away by `end`. */
export class Bench {
  readonly hub: StandInHub;
  readonly cacheFolder = mkdtempSync(join(tmpdir(), "internvl-hub-"));

  private constructor(hub: StandInHub) {
    this.hub = hub;
  }

  static async start(files: Record<string, Uint8Array> = { ...wanted, ...unwanted }): Promise<Bench> {
    return new Bench(await StandInHub.start(files));
  }

  /** Options of `pull` that see nothing of the machine's own environment, and do not wait long. */
  get options() {
    return {
      endpoint: this.hub.endpoint,
      cacheFolder: this.cacheFolder,
      environment: { HF_HOME: this.cacheFolder },
      patience: { attempts: 4, delayMilliseconds: 1, stallMilliseconds: 2_000 },
    };
  }

  get repositoryFolder(): string {
    return join(this.cacheFolder, "models--Org--Tiny");
  }

  blob(file: string): string {
    return join(this.repositoryFolder, "blobs", this.hub.etag(file));
  }

  /** Every file and link below the cache folder, links with their target. */
  tree(): string[] {
    return readdirSync(this.cacheFolder, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        const name = path.slice(this.cacheFolder.length + 1);
        return entry.isSymbolicLink() ? `${name} -> ${readlinkSync(path)}` : name;
      })
      .sort();
  }

  async end(): Promise<void> {
    await this.hub.close();
    rmSync(this.cacheFolder, { recursive: true });
  }
}
