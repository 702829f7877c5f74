import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Bench, sharded, wanted } from "../../../test/hub/checkpoints.ts";
import { CheckpointError, FileError, HubError, OptionError } from "../../errors.ts";
import { pull } from "./pull.node.ts";
import { resolveSource } from "./resolve.node.ts";

let bench: Bench;

afterEach(() => bench.end());

const id = "Org/Tiny";

async function failure(promise: Promise<unknown>): Promise<HubError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(HubError);
  return error as HubError;
}

describe("what the hub refuses", () => {
  it("names HF_TOKEN for a repository that is unknown or private", async () => {
    bench = await Bench.start();
    const unknown = await failure(pull("Org/Nothing", bench.options));
    expect(unknown.status).toBe(404);
    expect(unknown.message).toMatch(/no such repository .* or it is private or gated; if so, set HF_TOKEN/);
    bench.hub.requiredToken = "hf_secret";
    const hidden = await failure(pull(id, bench.options));
    expect(hidden.status).toBe(401);
    expect(hidden.message).toMatch(/set HF_TOKEN/);
    const wrong = await failure(pull(id, { ...bench.options, token: "other" }));
    expect(wrong.message).toMatch(/token in use may not read it/);
    expect(bench.tree()).toEqual([]);
  });

  it("names the revision that is not there", async () => {
    bench = await Bench.start();
    const error = await failure(pull(id, { ...bench.options, revision: "v9" }));
    expect(error.message).toMatch(/has no revision v9/);
    expect(error.message).not.toMatch(/HF_TOKEN/);
  });

  it("understands a mirror that gives no codes", async () => {
    bench = await Bench.start();
    const cases: [number, RegExp][] = [
      [404, /no such repository .*no revision main.*HF_TOKEN/],
      [401, /HF_TOKEN/],
      [403, /access is granted one by one.*HF_TOKEN/],
      [418, /answered 418/],
    ];
    for (const [status, message] of cases) {
      bench.hub.listingFaults.push({ kind: "status", status });
      const error = await failure(pull(id, bench.options));
      expect(error.message).toMatch(message);
      expect(error.status).toBe(status);
    }
  });

  it("sends to the gate of a gated repository, whose listing is open", async () => {
    bench = await Bench.start();
    const headers = { "x-error-code": "GatedRepo" };
    bench.hub.headFaults.set("config.json", [{ kind: "status", status: 403, headers }]);
    const error = await failure(pull(id, bench.options));
    expect(error.message).toContain(`ask for it at ${bench.hub.endpoint}/Org/Tiny`);
    expect(error.message).toMatch(/HF_TOKEN/);
  });

  it("knows a sign-in page from a hub", async () => {
    bench = await Bench.start();
    bench.hub.listingFaults.push({ kind: "html" });
    expect((await failure(pull(id, bench.options))).message).toMatch(/no listing.*HF_ENDPOINT.*sign-in/);
    bench.hub.headFaults.set("config.json", [{ kind: "html" }]);
    expect((await failure(pull(id, bench.options))).message).toMatch(/does not say the file's size and etag/);
  });

  it("refuses an etag that would be a path, and a commit that was not asked for", async () => {
    bench = await Bench.start();
    bench.hub.lies.set("config.json", { etag: '"../../../escape"' });
    expect((await failure(pull(id, bench.options))).file).toBe("config.json");
    bench.hub.lies.set("config.json", { "x-repo-commit": "f".repeat(40) });
    expect((await failure(pull(id, bench.options))).message).toMatch(/has commit f{40}/);
  });

  it("says that there are no safetensors, no config, or not all shards", async () => {
    const { "model.safetensors": _, ...rest } = wanted;
    bench = await Bench.start({ ...rest, "pytorch_model.bin": Buffer.from("pickle") });
    expect((await failure(pull(id, bench.options))).message).toMatch(/no model\.safetensors.*not read/);
    await bench.end();
    const { "config.json": __, ...configless } = wanted;
    bench = await Bench.start(configless);
    expect((await failure(pull(id, bench.options))).message).toMatch(/no config\.json/);
    await bench.end();
    const { "model-00002-of-00003.safetensors": ___, ...torn } = sharded();
    bench = await Bench.start(torn);
    const error = await failure(pull(id, bench.options));
    expect(error.file).toBe("model-00002-of-00003.safetensors");
    await bench.end();
    bench = await Bench.start({ ...sharded(), "model.safetensors.index.json": Buffer.from("{}") });
    await expect(pull(id, bench.options)).rejects.toThrow(CheckpointError);
  });

  it("says before it begins that the disk is too small, and by how much", async () => {
    bench = await Bench.start();
    bench.hub.lies.set("model.safetensors", { "x-linked-size": "4000000000000000" });
    const error = await failure(pull(id, bench.options));
    expect(error.message).toMatch(
      /4000000\.0 GB more are needed in .*, and only [\d.]+ [GM]B are free: .*HF_HUB_CACHE/,
    );
    expect(bench.hub.requests.every((r) => r.method === "HEAD" || r.file === "listing")).toBe(true);
  });

  it("says what is missing offline", async () => {
    bench = await Bench.start();
    const error = await failure(pull(id, { ...bench.options, offline: true }));
    expect(error.message).toMatch(/main is not complete in .*HF_HUB_OFFLINE/);
    expect(bench.hub.requests).toEqual([]);
  });
});

describe("resolveSource", () => {
  it("gives back a folder, and pulls a hub id", async () => {
    bench = await Bench.start();
    expect(await resolveSource(bench.cacheFolder)).toBe(bench.cacheFolder);
    const folder = join(bench.repositoryFolder, "snapshots", bench.hub.commit);
    expect(await resolveSource(id, bench.options)).toBe(folder);
  });

  it("says both when it is neither", async () => {
    bench = await Bench.start();
    for (const source of ["./no/such/folder", "/no/such/folder", "tiny", ""]) {
      const error = await resolveSource(source, bench.options).catch((error: unknown) => error);
      expect(error).toBeInstanceOf(OptionError);
      expect((error as Error).message).toMatch(/no such folder.*no hub id/);
    }
    const error = await failure(resolveSource("models/typo", bench.options));
    expect(error.message).toMatch(/no such folder.*no such repository/);
    expect(error.status).toBe(404);
    expect((await failure(resolveSource("a/b", { ...bench.options, offline: true }))).message).toMatch(
      /no such folder.*HF_HUB_OFFLINE/,
    );
  });

  it("wants the folder, not a file of it", async () => {
    bench = await Bench.start();
    mkdirSync(join(bench.cacheFolder, "x"));
    writeFileSync(join(bench.cacheFolder, "x/model.safetensors"), "");
    await expect(resolveSource(join(bench.cacheFolder, "x/model.safetensors"))).rejects.toThrow(FileError);
  });
});
