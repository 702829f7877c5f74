import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenModel, runCommand } from "../../test/cli-world.ts";

const commit = "0123456789abcdef0123456789abcdef01234567";

/** A cache with a whole InternVL2, a part of one, and another model. */
function makeCache(): string {
  const cache = mkdtempSync(join(tmpdir(), "internvl-"));
  const add = (name: string, files: (folder: string) => void) => {
    const folder = join(cache, `models--Org--${name}`);
    mkdirSync(join(folder, "refs"), { recursive: true });
    mkdirSync(join(folder, "snapshots", commit), { recursive: true });
    writeFileSync(join(folder, "refs", "main"), commit);
    files(join(folder, "snapshots", commit));
  };
  const whole = (folder: string) => cpSync(goldenModel("tiny-2b"), folder, { recursive: true });
  add("Tiny", whole);
  add("InternVL2-Part", (folder) => writeFileSync(join(folder, "config.json"), "{}"));
  add("Other", (folder) => {
    whole(folder);
    writeFileSync(join(folder, "config.json"), '{"model_type":"llama"}');
  });
  writeFileSync(join(cache, "version.txt"), "1");
  return cache;
}

describe("internvl doctor", () => {
  it("says what there is, and never the token", async () => {
    const cache = makeCache();
    const secret = "hf_verysecretverysecret";
    const env = {
      PATH: process.env.PATH ?? "",
      HF_HUB_CACHE: cache,
      HF_TOKEN: secret,
      HF_ENDPOINT: `https://user:${secret}@hub.example`,
    };
    const shown = await runCommand(["doctor"], { env });
    const json = await runCommand(["doctor", "--json"], { env });
    for (const { exitCode, output, errors } of [shown, json]) {
      expect(exitCode).toBe(0);
      expect(output + errors).not.toContain(secret);
      expect(output).toContain(process.version);
    }
    expect(shown.output).toContain("Org/InternVL2-Part main, incomplete");
    expect(JSON.parse(json.output)).toMatchObject({
      devices: { reference: { works: true, version: "reference" } },
      hub: {
        cacheFolder: cache,
        endpoint: "https://hub.example",
        token: "set in the environment",
        offline: false,
        checkpoints: [
          { repository: "Org/InternVL2-Part", revision: "main", complete: false },
          { repository: "Org/Tiny", revision: "main", complete: true },
        ],
      },
    });
  });

  it("says what is missing", async () => {
    const { exitCode, output } = await runCommand(["doctor"], {
      env: { PATH: "/nowhere", HF_HOME: "/nowhere", HF_HUB_OFFLINE: "1" },
    });
    expect(exitCode).toBe(0);
    expect(output).toMatch(/ffmpeg +no: not on the PATH/);
    expect(output).toMatch(/hub token +none/);
    expect(output).toContain("(offline)");
    expect(output).toContain("none in the cache");
  });

  it("names a variable that cannot be read", async () => {
    const { exitCode, output } = await runCommand(["doctor"], { env: { HF_HUB_DOWNLOAD_TIMEOUT: "soon" } });
    expect(exitCode).toBe(0);
    expect(output).toContain("HF_HUB_DOWNLOAD_TIMEOUT: must be a whole number");
  });
});
