import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Bench, sharded, unwanted, wanted } from "../../../test/hub/checkpoints.ts";
import { FileError, HubError, OptionError } from "../../errors.ts";
import type { Progress } from "../../progress.ts";
import { pull } from "./pull.node.ts";

let bench: Bench;

afterEach(() => bench.end());

const id = "Org/Tiny";

describe("pull", () => {
  it("fills a cache as Python's huggingface_hub does", async () => {
    bench = await Bench.start();
    const { hub, repositoryFolder, cacheFolder } = bench;
    const result = await pull(id, bench.options);
    expect(result).toEqual({
      folder: join(repositoryFolder, "snapshots", hub.commit),
      commit: hub.commit,
      files: Object.keys(wanted).sort(),
    });
    const files = Object.keys(wanted);
    const expected = [
      ...files.map((file) => `models--Org--Tiny/blobs/${hub.etag(file)}`),
      ...files.map(
        (file) => `models--Org--Tiny/snapshots/${hub.commit}/${file} -> ../../blobs/${hub.etag(file)}`,
      ),
      "models--Org--Tiny/refs/main",
    ];
    expect(bench.tree()).toEqual(expected.sort());
    expect(readFileSync(join(cacheFolder, "models--Org--Tiny/refs/main"), "utf8")).toBe(hub.commit);
    for (const [file, bytes] of Object.entries(wanted)) {
      expect(readFileSync(join(result.folder, file)).equals(bytes), file).toBe(true);
    }
    for (const file of Object.keys(unwanted)) expect(hub.requests.some((r) => r.file === file)).toBe(false);
    for (const { method, file, sent } of hub.requests) {
      if (method === "GET" && sent > 0) expect(sent, file).toBe(hub.files.get(file)!.length);
    }
  });

  it("takes every shard that the index names", async () => {
    bench = await Bench.start({ ...sharded(), ...unwanted });
    const { folder, files } = await pull(id, bench.options);
    expect(files).toEqual(Object.keys(sharded()).sort());
    for (const [file, bytes] of Object.entries(sharded())) {
      expect(readFileSync(join(folder, file)).equals(bytes), file).toBe(true);
    }
  });

  it("asks only which commit a branch is when everything is there, and nothing for a commit", async () => {
    bench = await Bench.start();
    const first = await pull(id, bench.options);
    bench.hub.requests.length = 0;
    expect(await pull(id, bench.options)).toEqual(first);
    expect(bench.hub.requests.map(({ file }) => file)).toEqual(["listing"]);
    bench.hub.requests.length = 0;
    expect(await pull(id, { ...bench.options, revision: bench.hub.commit })).toEqual(first);
    expect(await pull(id, { ...bench.options, offline: true })).toEqual(first);
    expect(await pull(id, { ...bench.options, environment: { HF_HUB_OFFLINE: "1" } })).toEqual(first);
    expect(bench.hub.requests).toEqual([]);
  });

  it("brings back a file whose blob was deleted, and only that one", async () => {
    bench = await Bench.start();
    const { folder } = await pull(id, bench.options);
    bench.hub.requests.length = 0;
    rmSync(bench.blob("tokenizer.model"));
    await pull(id, { ...bench.options, revision: bench.hub.commit });
    expect(readFileSync(join(folder, "tokenizer.model")).equals(wanted["tokenizer.model"]!)).toBe(true);
    expect(new Set(bench.hub.requests.map(({ file }) => file))).toEqual(
      new Set(["listing", "tokenizer.model"]),
    );
  });

  it("replaces a blob of the wrong length", async () => {
    bench = await Bench.start();
    const { folder } = await pull(id, bench.options);
    rmSync(join(folder, "config.json"));
    writeFileSync(bench.blob("config.json"), "");
    await pull(id, bench.options);
    expect(readFileSync(join(folder, "config.json")).equals(wanted["config.json"]!)).toBe(true);
  });

  it("lays plain files into the snapshot where links are turned off", async () => {
    bench = await Bench.start();
    const environment = { HF_HUB_DISABLE_SYMLINKS: "1" };
    const { folder, files } = await pull(id, { ...bench.options, environment });
    const name = `models--Org--Tiny/snapshots/${bench.hub.commit}`;
    const expected = [...files.map((file) => `${name}/${file}`), "models--Org--Tiny/refs/main"];
    expect(bench.tree()).toEqual(expected.sort());
    expect(readFileSync(join(folder, "config.json")).equals(wanted["config.json"]!)).toBe(true);
    bench.hub.requests.length = 0;
    await pull(id, { ...bench.options, environment, offline: true });
    expect(bench.hub.requests).toEqual([]);
  });

  it("follows tags, pull requests and a renamed repository", async () => {
    bench = await Bench.start();
    bench.hub.revisions.set("refs/pr/1", bench.hub.commit);
    await pull(id, { ...bench.options, revision: "refs/pr/1" });
    expect(bench.tree()).toContain("models--Org--Tiny/refs/refs/pr/1");
    expect((await pull(id, { ...bench.options, revision: "refs/pr/1", offline: true })).commit).toBe(
      bench.hub.commit,
    );
    const renamed = await pull("Old/Name", bench.options);
    expect(readFileSync(join(renamed.folder, "config.json")).equals(wanted["config.json"]!)).toBe(true);
  });

  it("tells the progress of everything as one", async () => {
    bench = await Bench.start();
    const seen: Progress[] = [];
    await pull(id, { ...bench.options, onProgress: (progress) => seen.push(progress) });
    const total = Object.values(wanted).reduce((sum, bytes) => sum + bytes.length, 0);
    expect(seen.every((p) => p.phase === "download" && p.total === total)).toBe(true);
    const loaded = seen.map((p) => p.loaded);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
    expect(seen.at(-1)).toEqual({ phase: "download", file: "model.safetensors", loaded: total, total });
    expect(new Set(seen.map((p) => p.file))).toEqual(new Set(Object.keys(wanted)));
  });

  it("sends the token to the endpoint, and not to the content network", async () => {
    bench = await Bench.start();
    bench.hub.requiredToken = "hf_secret";
    const tokenPath = join(bench.cacheFolder, "token");
    writeFileSync(tokenPath, "hf_secret\n");
    await pull(id, {
      ...bench.options,
      environment: { HF_TOKEN: "wrong", HF_TOKEN_PATH: tokenPath },
      token: "hf_secret",
    });
    const { requests } = bench.hub;
    const content = requests.filter((r) => r.server === "content");
    expect(content.length).toBeGreaterThan(0);
    expect(content.every((r) => r.authorization === undefined)).toBe(true);
    expect(
      requests.filter((r) => r.server === "hub").every((r) => r.authorization === "Bearer hf_secret"),
    ).toBe(true);

    await pull(id, { ...bench.options, environment: { HF_TOKEN_PATH: tokenPath } });
    await pull(id, { ...bench.options, environment: { HF_TOKEN: "hf_secret" } });
    await expect(pull(id, { ...bench.options, environment: { HF_TOKEN: "wrong" } })).rejects.toThrow(
      HubError,
    );
  });

  it("names the cache that cannot be written, and the token that cannot be read", async () => {
    bench = await Bench.start();
    const file = join(bench.cacheFolder, "file");
    writeFileSync(file, "");
    const cut = pull(id, { ...bench.options, cacheFolder: file });
    await expect(cut).rejects.toThrow(/cannot be written \(ENOTDIR\).*HF_HUB_CACHE/);
    await expect(cut).rejects.toBeInstanceOf(FileError);
    const environment = { HF_TOKEN_PATH: bench.cacheFolder };
    await expect(pull(id, { ...bench.options, environment })).rejects.toThrow(
      /token cannot be read.*HF_TOKEN/,
    );
  });

  it("refuses malformed options before it asks anyone", async () => {
    bench = await Bench.start();
    const { options } = bench;
    await expect(pull("tiny", options)).rejects.toThrow(OptionError);
    await expect(pull("../../etc", options)).rejects.toThrow(OptionError);
    await expect(pull(id, { ...options, revision: "../main" })).rejects.toThrow(OptionError);
    await expect(pull(id, { ...options, endpoint: "mirror" })).rejects.toThrow(OptionError);
    await expect(pull(id, { ...options, patience: { attempts: 0 } })).rejects.toThrow(OptionError);
    expect(bench.hub.requests).toEqual([]);
    expect(bench.tree()).toEqual([]);
  });
});
