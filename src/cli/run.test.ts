import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { goldenModel, runCommand, TestWorld } from "../../test/cli-world.ts";
import { Cancelled } from "./interrupts.ts";

const model = goldenModel("tiny-2b");
const commands = ["chat", "pull", "inspect", "tiles", "tokens", "doctor"];

describe("internvl", () => {
  it("prints help with examples, and the version", async () => {
    const help = await runCommand(["--help"]);
    expect(help).toMatchObject({ exitCode: 0, errors: "" });
    for (const command of commands) expect(help.output).toContain(`  ${command} `);
    expect(help.output).toContain("Examples:");
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(await runCommand(["--version"])).toMatchObject({ exitCode: 0, output: `${version}\n` });
  });

  it.each(commands)("prints help of %s", async (command) => {
    const help = await runCommand([command, "--help"]);
    expect(help).toMatchObject({ exitCode: 0, errors: "" });
    expect(help.output).toContain(`internvl ${command}`);
    expect(help.output).toContain("--json");
  });

  it.each([
    ["no command", []],
    ["an unknown command", ["chta"]],
    ["an unknown flag", ["chat", "--bogus"]],
    ["a flag without its value", ["chat", "--temp"]],
    ["no argument", ["pull"]],
    ["too many arguments", ["inspect", "8b", "2b"]],
  ])("ends with 2 for %s", async (_, args) => {
    const { exitCode, output, errors } = await runCommand(args);
    expect(exitCode).toBe(2);
    expect(output).toBe("");
    expect(errors).toMatch(args.length === 0 ? /^Usage: / : /^internvl: /);
  });

  it("names the flag for every value out of its range, before anything is loaded", async () => {
    const nowhere = ["chat", "--model", "./nowhere", "Hi"];
    const cases = {
      "--temp=0": "--temp: must be above 0",
      "--temp=hot": '--temp: must be a number (got "hot")',
      "--top-p=1.5": "--top-p: must be above 0 and at most 1",
      "--top-k=-1": "--top-k: must be a whole number",
      "--max-tokens=0": "--max-tokens: must be a whole number",
      "--min-tokens=2000": "--min-tokens: must not exceed --max-tokens (1024)",
      "--beams=0": "--beams: must be a whole number",
      "--repetition-penalty=0": "--repetition-penalty: must be above 0",
      "--seed=1": "--seed: is only read when sampling",
      "--length-penalty=2": "--length-penalty: is only read with --beams",
      "--segments=4": "--segments: is only read with --video",
      "--bound=1,2": "--bound: is only read with --video",
      "--bound=2": "--bound: must be START,END",
      "--stop=": "--stop: must hold",
    };
    for (const [flag, message] of Object.entries(cases)) {
      const { exitCode, errors } = await runCommand([...nowhere, flag]);
      expect(errors).toContain(`internvl: ${message}`);
      expect(exitCode).toBe(2);
    }
    expect((await runCommand([...nowhere, "--beams=2", "--temp=1"])).errors).toContain("--beams: can not");
    expect((await runCommand([...nowhere, "--video=a.mp4", "--image=b.png"])).errors).toContain("--video: ");
  });

  it("says errors in one line, and where they come from only when asked", async () => {
    const args = ["chat", "--model", model, "--device", "reference", "--image", "missing.png", "Hi"];
    const short = await runCommand(args);
    expect(short).toMatchObject({ exitCode: 1, output: "" });
    expect(short.errors).toMatch(/^internvl: .*missing\.png: there is no such file; check the path\n$/);
    for (const detailed of [
      await runCommand([...args, "--verbose"]),
      await runCommand(args, { env: { DEBUG: "1" } }),
    ]) {
      expect(detailed.errors).toContain(short.errors);
      expect(detailed.errors).toMatch(/\n {4}at /);
    }
  });

  it("ends with 130 when cancelled, and leaves at the second Ctrl-C", async () => {
    const world = new TestWorld();
    const ended = world.run("chat", "--model", model, "--device", "reference", "--max-tokens", "30000", "Hi");
    while (world.output === "") await new Promise((resolve) => setTimeout(resolve, 5));
    world.interrupts.interrupt();
    expect(world.left).toBe(false);
    world.interrupts.interrupt();
    expect(world.left).toBe(true);
    expect(await ended).toBe(130);
    expect(world.errors).toBe("internvl: cancelled\n");
  });

  it("ends with what a signal asks for", async () => {
    const world = new TestWorld();
    world.interrupts.end(new Cancelled(143));
    expect(await world.run("chat", "--model", model, "Hi")).toBe(143);
  });

  it("stops quietly when its reader leaves, and not for other trouble with its output", async () => {
    for (const [code, exitCode, errors] of [
      ["EPIPE", 0, ""],
      ["ENOSPC", 1, "internvl: unexpected: ENOSPC\n"],
    ] as const) {
      const world = new TestWorld();
      const ended = world.run(
        "chat",
        "--model",
        model,
        "--device",
        "reference",
        "--max-tokens",
        "30000",
        "Hi",
      );
      while (world.output === "") await new Promise((resolve) => setTimeout(resolve, 5));
      world.stdout.emit("error", Object.assign(new Error(code), { code }));
      expect(await ended).toBe(exitCode);
      expect(world.errors).toBe(errors);
    }
  });
});
