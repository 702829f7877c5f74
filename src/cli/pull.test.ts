import { existsSync, mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCommand, TestWorld } from "../../test/cli-world.ts";
import { wanted } from "../../test/hub/checkpoints.ts";
import { StandInHub } from "../../test/hub/stand-in-hub.ts";

describe("internvl pull", () => {
  let hub: StandInHub;
  let cache: string;
  const env = () => ({ HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: cache });

  beforeEach(async () => {
    hub = await StandInHub.start(wanted);
    cache = mkdtempSync(join(tmpdir(), "internvl-"));
  });
  afterEach(() => hub.close());

  it("prints the folder, and shows no progress where there is no terminal", async () => {
    const { exitCode, output, errors } = await runCommand(["pull", hub.repository], { env: env() });
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" });
    const folder = output.trimEnd();
    expect(folder.startsWith(cache)).toBe(true);
    for (const [file, bytes] of Object.entries(wanted)) {
      expect(statSync(join(folder, file)).size).toBe(bytes.length);
    }
    const other = mkdtempSync(join(tmpdir(), "internvl-"));
    const args = ["pull", hub.repository, "--cache-folder", other, "--json"];
    const json = JSON.parse((await runCommand(args, { env: env() })).output);
    expect(json).toMatchObject({ commit: hub.commit, files: expect.arrayContaining(["config.json"]) });
    expect(json.folder.startsWith(other)).toBe(true);
  });

  it("draws a bar on a terminal, and takes it away", async () => {
    hub.faults.set("model.safetensors", [{ kind: "slow", piece: 30_000, milliseconds: 30 }]);
    const { output, errors } = await runCommand(["pull", hub.repository], {
      env: env(),
      terminal: ["stderr"],
    });
    expect(errors).toMatch(/Downloading .*█.* of \d+ kB model\.safetensors/);
    // The last thing drawn is an empty line.
    expect(errors.endsWith("\x1b[1G\x1b[2K")).toBe(true);
    expect(existsSync(output.trimEnd())).toBe(true);
  });

  it("stops at Ctrl-C with 130, and goes on the next time", async () => {
    hub.faults.set("model.safetensors", [{ kind: "slow", piece: 30_000, milliseconds: 100 }]);
    const world = new TestWorld({ env: env() });
    const ended = world.run("pull", hub.repository);
    while (hub.gets("model.safetensors").length === 0)
      await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise((resolve) => setTimeout(resolve, 250));
    world.interrupts.interrupt();
    expect(await ended).toBe(130);
    expect(world.errors).toBe("internvl: cancelled\n");
    const again = await runCommand(["pull", hub.repository], { env: env() });
    expect(again.exitCode).toBe(0);
    expect(hub.gets("model.safetensors").at(-1)?.range).toMatch(/^bytes=[1-9]\d*-/);
  });

  it("says what is wrong", async () => {
    expect(await runCommand(["pull", "nonsense"], { env: env() })).toMatchObject({
      exitCode: 2,
      errors: 'internvl: repository: must be a hub id of the form Org/Name (got "nonsense")\n',
    });
    const revision = await runCommand(["pull", hub.repository, "--revision", "../up"], { env: env() });
    expect(revision.errors).toContain("internvl: --revision: must be a branch");
    const missing = await runCommand(["pull", "Org/Missing"], { env: env() });
    expect(missing.exitCode).toBe(1);
    expect(missing.errors).toMatch(/^internvl: Org\/Missing: /);
  });
});
