import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenImage, goldenModel, TestWorld } from "../../test/cli-world.ts";

const model = goldenModel("tiny-2b");

/** The prompt, and the cursor behind it: readline listens from here on. */
const ready = "> \x1b[3G";

/** A conversation on a terminal that is typed into. */
async function begin(...flags: string[]) {
  const world = new TestWorld({ terminal: ["stdin", "stdout"] });
  const ended = world.run("chat", "--model", model, "--device", "reference", ...flags);
  await world.until(ready);
  /** Types a line, and waits for a text and the next prompt. */
  const type = async (line: string, wanted = "") => {
    world.stdin.write(`${line}\r`);
    await world.until(wanted);
    await world.until(ready);
  };
  return { world, ended, type };
}

describe("a conversation on a terminal", () => {
  it("shows pictures, answers, is saved and taken up again", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "internvl-")), "my talk.json");
    const { world, ended, type } = await begin("--max-tokens", "4");
    await type(`/image ${goldenImage("square.png")}`, "5 tiles, 80 tokens");
    await type("What is this?", "\n\n");
    await type(`/image ${goldenImage("dot.png")} '${goldenImage("gray.png")}'`, "dot.png: 1 tile, 16 tokens");
    await type("And these?", "\n\n");
    await type("One\rtwo", "\n\n");
    await type(`/save "${file}"`, "Saved 3 turns");
    world.stdin.write("/quit\r");
    expect(await ended).toBe(0);
    const saved = JSON.parse(readFileSync(file, "utf8"));
    expect(saved).toMatchObject({ format: "internvl conversation 1", model: resolve(model) });
    expect(saved.turns.map((turn: { question: string }) => turn.question)).toEqual([
      "<image>\nWhat is this?",
      "Image-1: <image>\nImage-2: <image>\nAnd these?",
      "One\ntwo",
    ]);
    expect(saved.turns[1].media).toEqual([
      { image: resolve(goldenImage("dot.png")) },
      { image: resolve(goldenImage("gray.png")) },
    ]);

    const again = new TestWorld({ terminal: ["stdin", "stdout"] });
    const over = again.run("chat", "--device", "reference", "--resume", file, "--max-tokens", "4");
    await again.until(ready);
    again.stdin.write(`/save '${file}'\r`);
    await again.until("Replace it?");
    again.stdin.write("y");
    await again.until("Saved 3 turns");
    await again.until(ready);
    again.stdin.write("\x04");
    expect(await over).toBe(0);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(saved);
  });

  it("goes on after an error, and keeps what was attached", async () => {
    const { world, ended, type } = await begin("--max-tokens", "2", "--context", "400");
    await type("/image nowhere.png");
    await type("/bogus");
    await type("/image");
    await type(`/image ${goldenImage("wide.png")}`, "4 tiles, 64 tokens");
    await type("long ".repeat(400));
    await type("Short.", "\n\n");
    await type("/reset", "Begun anew");
    await type("/help", "/quit");
    world.stdin.write("\x04");
    expect(await ended).toBe(0);
    expect(world.errors.split("\n").map((line) => line.replace(/^internvl: .*\/nowhere/, "nowhere"))).toEqual(
      [
        "nowhere.png: there is no such file; check the path",
        "internvl: /bogus is not a command; /help lists those there are",
        "internvl: write /image PATH…",
        expect.stringContaining("more than the context of"),
        "",
      ],
    );
  });

  it("cancels the answer at Ctrl-C, and leaves at the next on an empty line", async () => {
    const { world, ended } = await begin("--max-tokens", "30000");
    world.stdin.write("Talk.\r");
    await world.until("\n");
    while (world.output.length < 10) await new Promise((resolve) => setTimeout(resolve, 5));
    world.interrupts.interrupt();
    await world.until("not part of the conversation");
    await world.until(ready);
    // Half a line is dropped first.
    world.stdin.write("half\x03");
    await world.until(ready);
    world.stdin.write("\x03");
    expect(await ended).toBe(130);
  });

  it("leaves when Ctrl-C comes twice during an answer", async () => {
    const { world, ended } = await begin("--max-tokens", "30000");
    world.stdin.write("Talk.\r");
    await world.until("\n");
    while (world.output.length < 10) await new Promise((resolve) => setTimeout(resolve, 5));
    world.interrupts.interrupt();
    world.interrupts.interrupt();
    expect(await ended).toBe(130);
    expect(world.left).toBe(false);
  });

  it("is refused without a terminal to write to, and with --json", async () => {
    const half = new TestWorld({ terminal: ["stdin"] });
    expect(await half.run("chat", "--model", model)).toBe(2);
    const json = new TestWorld({ terminal: ["stdin", "stdout"] });
    expect(await json.run("chat", "--model", model, "--json")).toBe(2);
  });
});
