import { createHash } from "node:crypto";
import { mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench, sharded, wanted } from "../../../test/hub/checkpoints.ts";
import { StandInHub } from "../../../test/hub/stand-in-hub.ts";
import { CheckpointError, HubError } from "../../errors.ts";
import { RepositoryCache } from "./cache.node.ts";
import { pull } from "./pull.node.ts";

let bench: Bench;

beforeEach(async () => {
  bench = await Bench.start();
});
afterEach(() => bench.end());

const id = "Org/Tiny";

/** Writes what `snapshot_download` of huggingface_hub leaves behind. */
function fillAsPython(files: Record<string, Uint8Array>, links: boolean, commit = bench.hub.commit): string {
  const { repositoryFolder } = bench;
  const snapshot = join(repositoryFolder, "snapshots", commit);
  mkdirSync(join(repositoryFolder, "blobs"), { recursive: true });
  mkdirSync(join(repositoryFolder, "refs"), { recursive: true });
  mkdirSync(join(bench.cacheFolder, ".locks/models--Org--Tiny"), { recursive: true });
  writeFileSync(join(repositoryFolder, "refs/main"), commit);
  for (const [file, bytes] of Object.entries(files)) {
    const path = join(snapshot, file);
    mkdirSync(dirname(path), { recursive: true });
    const etag = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(bench.cacheFolder, ".locks/models--Org--Tiny", `${etag}.lock`), "");
    if (links) {
      const blob = join(repositoryFolder, "blobs", etag);
      writeFileSync(blob, bytes);
      symlinkSync(relative(dirname(path), blob), path);
    } else {
      writeFileSync(path, bytes);
    }
  }
  return snapshot;
}

const offline = () => pull(id, { ...bench.options, environment: { HF_HUB_OFFLINE: "1" } });

describe("a cache that Python filled", () => {
  for (const links of [true, false]) {
    it(`is used as it stands, ${links ? "with links" : "with plain files"}, without a request`, async () => {
      const folder = fillAsPython({ ...wanted, "README.md": Buffer.from("#") }, links);
      const before = bench.tree();
      const expected = { folder, commit: bench.hub.commit, files: Object.keys(wanted).sort() };
      expect(await offline()).toEqual(expected);
      expect(await pull(id, { ...bench.options, revision: bench.hub.commit })).toEqual(expected);
      expect(bench.hub.requests).toEqual([]);
      const made = statSync(join(folder, "config.json")).mtimeMs;
      await pull(id, bench.options);
      expect(bench.hub.requests.map(({ file }) => file)).toEqual(["listing"]);
      expect(bench.tree()).toEqual(before);
      expect(statSync(join(folder, "config.json")).mtimeMs).toBe(made);
    });
  }

  it("is found by HF_HOME and by HF_HUB_CACHE", async () => {
    fillAsPython(wanted, true);
    const HF_HUB_OFFLINE = "1";
    const { commit } = await pull(id, { environment: { HF_HUB_OFFLINE, HF_HUB_CACHE: bench.cacheFolder } });
    expect(commit).toBe(bench.hub.commit);
    symlinkSync(".", join(bench.cacheFolder, "hub"));
    const { folder } = await pull(id, { environment: { HF_HUB_OFFLINE, HF_HOME: bench.cacheFolder } });
    expect(folder).toBe(join(bench.cacheFolder, "hub/models--Org--Tiny/snapshots", commit));
    await expect(pull(id, { environment: { HF_HUB_OFFLINE, HF_HOME: "/nowhere" } })).rejects.toThrow(
      HubError,
    );
  });

  it("serves when the hub cannot be reached, and only for what it has", async () => {
    fillAsPython(wanted, true);
    const gone = await StandInHub.start({});
    const unreachable = { ...bench.options, endpoint: gone.endpoint };
    await gone.close();
    expect((await pull(id, unreachable)).commit).toBe(bench.hub.commit);
    await expect(pull(id, { ...unreachable, revision: "v1" })).rejects.toThrow(/ECONNREFUSED.*tried 4 times/);
    bench.hub.listingFaults.push({ kind: "status", status: 503 });
    expect((await pull(id, bench.options)).commit).toBe(bench.hub.commit);
    // A hub that answers is believed.
    bench.hub.requiredToken = "hf_secret";
    await expect(pull(id, bench.options)).rejects.toThrow(/HF_TOKEN/);
  });

  it("is completed when it is not complete", async () => {
    const { "added_tokens.json": _, "model.safetensors": __, ...rest } = wanted;
    fillAsPython(rest, true);
    await expect(offline()).rejects.toThrow(HubError);
    await pull(id, bench.options);
    const fetched = bench.hub.requests.filter(({ method }) => method === "HEAD").map(({ file }) => file);
    expect(fetched.sort()).toEqual(["added_tokens.json", "model.safetensors"]);
    await offline();
  });

  it("follows a branch that moved on, and keeps the old commit", async () => {
    const old = "f".repeat(40);
    fillAsPython(wanted, true, old);
    expect((await offline()).commit).toBe(old);
    expect((await pull(id, bench.options)).commit).toBe(bench.hub.commit);
    expect((await offline()).commit).toBe(bench.hub.commit);
    expect((await pull(id, { ...bench.options, revision: old, offline: true })).commit).toBe(old);
  });
});

describe("a snapshot", () => {
  const complete = () => new RepositoryCache(bench.cacheFolder, id, true).complete("main");

  it.each([
    ["config.json", false],
    ["tokenizer.model", false],
    ["model-00002-of-00003.safetensors", false],
    ["model.safetensors.index.json", false],
    ["generation_config.json", true],
  ])("without its %s is complete: %j", async (file, is) => {
    const folder = fillAsPython(sharded(), true);
    expect((await complete())?.files).toEqual(Object.keys(sharded()).sort());
    rmSync(join(folder, file));
    expect((await complete()) !== undefined).toBe(is);
  });

  it("whose link leads nowhere is not complete", async () => {
    fillAsPython(sharded(), true);
    const etag = createHash("sha256").update(sharded()["model-00003-of-00003.safetensors"]!).digest("hex");
    rmSync(join(bench.repositoryFolder, "blobs", etag));
    expect(await complete()).toBeUndefined();
  });

  it("whose index is broken is an error that names the index", async () => {
    const folder = fillAsPython({ ...sharded(), "model.safetensors.index.json": Buffer.from("{") }, true);
    await expect(complete()).rejects.toMatchObject({
      constructor: CheckpointError,
      file: join(folder, "model.safetensors.index.json"),
    });
  });

  it("is not found by a ref that holds no commit", async () => {
    fillAsPython(wanted, true);
    writeFileSync(join(bench.repositoryFolder, "refs/main"), "../../elsewhere");
    expect(await complete()).toBeUndefined();
  });
});
