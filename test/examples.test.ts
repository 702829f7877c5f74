import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { requireBuild, root, runNode } from "./built.ts";

const examples = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"));

/** What an example must have printed, whatever the words of the model. */
const wanted: Readonly<Record<string, RegExp>> = {
  "text.ts":
    /^User: Hello, who are you\?\nAssistant: \S[\s\S]*User: Can you tell me a story\?\nAssistant: \S/,
  "image.ts": /Assistant: \S[\s\S]*\d+ of \d+ prompt tokens were there already\n$/,
  "images.ts": /^Combined: \S[\s\S]*\nSeparate: \S[\s\S]*\nSecond question: \S/,
  "batch.ts": /^300 prompt tokens: \S[\s\S]*\n300 prompt tokens: \S[\s\S]*\n180 prompt tokens: \S/,
  "video.ts":
    /User: Frame1: <image>\nFrame2: <image>\n[\s\S]*\?\nAssistant: \S[\s\S]*User: Describe this video/,
  "stream.ts": /\S[\s\S]*\n\{\n {2}promptTokens: 302,\n {2}imageTokens: 112,/,
  "pipeline.ts": /\S[\s\S]*\n\[\n[\s\S]*\]\n[\s\S]*\S/,
  "stages.ts":
    /^451x300: a grid of 3x2, 7 tiles\n112 rows of 256\n292 prompt tokens; [\s\S]*\n(-\d+\.\d+ .*[\s\S]*){3}$/,
};

describe("examples", () => {
  beforeAll(requireBuild);

  it("are all tried, and named in their README", () => {
    expect(examples.sort()).toEqual(Object.keys(wanted).sort());
    const readme = readFileSync(join(root, "examples/README.md"), "utf8");
    for (const file of examples) expect(readme).toContain(`[${file}](${file})`);
    for (const [, file] of readme.matchAll(/`(photos\/\w*|\w+\.jpg)`/g)) {
      expect(
        existsSync(join(root, "examples", file)) || existsSync(join(root, "examples/photos", file)),
      ).toBe(true);
    }
  });

  it.each(Object.entries(wanted))("%s", async (file, output) => {
    const { stdout } = await runNode(["--import", "./scripts/typescript.mjs", join("examples", file)]);
    expect(stdout).toMatch(output);
  });

  it("say which there are when asked for another", async () => {
    const failed = runNode(["scripts/example.mjs", "nothing"]);
    await expect(failed).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("batch, image, images"),
    });
  });

  it("and the demo asks the built-in model about five pictures", async () => {
    const { stdout } = await runNode(["scripts/demo.mjs"]);
    expect(stdout.match(/^ {2}> \S/gm)).toHaveLength(5);
    expect(stdout.match(/first token after/g)).toHaveLength(5);
  });

  it("or whatever one wants to ask", async () => {
    const { stdout, stderr } = await runNode([
      ...["scripts/demo.mjs", "--model", "test/golden/models/tiny-2b", "--image", "examples/photos/cat.jpg"],
      ...["--max-tiles", "1", "--max-tokens", "8", "What is it?"],
    ]);
    expect(stdout.trim().length).toBeGreaterThan(5);
    expect(stderr).toMatch(/\d+ prompt tokens \(16 of pictures/);
  });
});
