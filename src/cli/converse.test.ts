import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenImage, goldenModel, TestWorld } from "../../test/cli-world.ts";

const model = goldenModel("tiny-2b");

/** A conversation on a terminal that is typed into. */
async function begin(...flags: string[]) {
  const world = new TestWorld({ terminal: ["stdin", "stdout"] });
  const ended = world.run("chat", "--model", model, ...flags);
  await world.until("> ");
  const type = async (text: string, wanted = "> ") => {
    world.output = "";
    world.stdin.write(text);
    await world.until(wanted);
  };
  return { world, ended, type };
}

describe("a conversation on a terminal", () => {
  it("shows pictures, answers, is saved and taken up again", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "internvl-")), "my talk.json");
    const { world, ended, type } = await begin("--max-tokens", "4");
    await type(`/image ${goldenImage("square.png")}\r`, "5 tiles, 80 tokens");
    await type("What is this?\r", "\n\n");
    await type(
      `/image ${goldenImage("dot.png")} '${goldenImage("gray.png")}'\r`,
      "dot.png: 1 tile, 16 tokens",
    );
    await world.until("gray.png: ");
    await type("And these?\r", "\n\n");
    await type(`/save "${file}"\r`, "Saved 2 turns");
    await type("/quit\r", "");
    expect(await ended).toBe(0);
    const saved = JSON.parse(readFileSync(file, "utf8"));
    expect(saved).toMatchObject({ format: "internvl conversation 1", model: resolve(model) });
    expect(saved.turns.map((turn: { question: string }) => turn.question)).toEqual([
      "<image>\nWhat is this?",
      "Image-1: <image>\nImage-2: <image>\nAnd these?",
    ]);
    expect(saved.turns[1].media).toEqual([
      { image: resolve(goldenImage("dot.png")) },
      { image: resolve(goldenImage("gray.png")) },
    ]);

    const again = new TestWorld({ terminal: ["stdin", "stdout"] });
    const over = again.run("chat", "--resume", file, "--max-tokens", "4");
    await again.until("> ");
    again.stdin.write("/save ");
    again.stdin.write(`'${file}'\r`);
    await again.until("Replace it?");
    again.stdin.write("y");
    await again.until("Saved 2 turns");
    await again.until("> ");
    again.stdin.write("\x04");
    expect(await over).toBe(0);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(saved);
  });

  it("goes on after an error, and keeps what was attached", async () => {
    const { world, ended, type } = await begin("--max-tokens", "2", "--context", "300");
    await type("/image nowhere.png\r");
    await type("/bogus\r");
    await type("/image\r");
    await type(`/image ${goldenImage("wide.png")}\r`, "7 tiles, 112 tokens");
    await type(`${"long ".repeat(200)}\r`);
    await type("Short.\r", "\n\n");
    await type("/reset\r", "Begun anew");
    await type("/help\r", "/quit");
    await type("\x04", "");
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
    const { world, ended, type } = await begin("--max-tokens", "30000");
    await type("Talk.\r", "\n");
    while (world.output.length < 10) await new Promise((resolve) => setTimeout(resolve, 5));
    world.interrupts.interrupt();
    await world.until("not part of the conversation");
    await world.until("> ");
    // Half a line is dropped first.
    await type("half\x03");
    await type("\x03", "");
    expect(await ended).toBe(130);
  });

  it("leaves when Ctrl-C comes twice during an answer", async () => {
    const { world, ended, type } = await begin("--max-tokens", "30000");
    await type("Talk.\r", "\n");
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
