/** The command as a process of its own: signals, pipes and exit codes. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenModel } from "./cli-world.ts";

/** The sources, compiled here and now: `dist` may be of yesterday, or not be there. */
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "internvl-built-"));
  copyFileSync("package.json", join(folder, "package.json"));
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"), "junction");
  const compiler = resolve("node_modules/typescript/bin/tsc");
  const settings = [
    "-p",
    "tsconfig.build.json",
    "--noCheck",
    "--declaration",
    "false",
    "--sourceMap",
    "false",
  ];
  execFileSync(process.execPath, [compiler, ...settings, "--outDir", join(folder, "dist")]);
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const chat = ["chat", "--model", goldenModel("tiny-2b"), "--device", "reference"];

function start(args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [join(folder, "dist/cli/main.js"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let errors = "";
  child.stdout!.on("data", (part) => {
    output += part;
  });
  child.stderr!.on("data", (part) => {
    errors += part;
  });
  const ended = new Promise<Ended>((done) => {
    child.on("close", (exitCode, signal) => done({ exitCode, signal, output, errors }));
  });
  return { child, ended };
}

interface Ended {
  exitCode: number | null;
  signal: string | null;
  output: string;
  errors: string;
}

const firstOutput = (child: ChildProcess) => new Promise((done) => child.stdout!.once("data", done));

describe("the internvl process", () => {
  it("has a first line that makes it a program", () => {
    expect(readFileSync(join(folder, "dist/cli/main.js"), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { bin } = JSON.parse(readFileSync("package.json", "utf8")) as { bin: Record<string, string> };
    expect(bin).toEqual({ internvl: "dist/cli/main.js" });
  });

  it("prints its version and what is wrong, each where it belongs", async () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(await start(["--version"]).ended).toMatchObject({
      exitCode: 0,
      output: `${version}\n`,
      errors: "",
    });
    expect(await start([...chat, "--temp", "0", "Hi"]).ended).toEqual({
      exitCode: 2,
      signal: null,
      output: "",
      errors: "internvl: --temp: must be above 0 and at most 100 (got 0)\n",
    });
  });

  it("answers", async () => {
    const { cases } = JSON.parse(readFileSync(join(goldenModel("tiny-2b"), "expected.json"), "utf8")) as {
      cases: { greedy_text: string }[];
    };
    const args = [...chat, "--precision", "f32", "--max-tokens", "12", "Hello, who are you?"];
    const { exitCode, output, errors } = await start(args).ended;
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" });
    expect(output).toBe(`${cases[0].greedy_text}\n`);
  });

  it.skipIf(process.platform === "win32").each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("ends in order at %s", async (signal, exitCode) => {
    const { child, ended } = start([...chat, "--max-tokens", "30000", "Hi"]);
    await firstOutput(child);
    child.kill(signal);
    expect(await ended).toMatchObject({ exitCode, signal: null, errors: "internvl: cancelled\n" });
  });

  it("ends quietly when nobody reads on", async () => {
    const { child, ended } = start([...chat, "--max-tokens", "30000", "Hi"]);
    await firstOutput(child);
    child.stdout!.destroy();
    expect(await ended).toMatchObject({ exitCode: 0, errors: "" });
  });
});
