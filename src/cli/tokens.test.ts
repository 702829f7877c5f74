import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenModel, runCommand } from "../../test/cli-world.ts";

const model = goldenModel("tiny-2b");
const { tokenizer: golden } = JSON.parse(readFileSync(join(model, "expected.json"), "utf8")) as {
  tokenizer: { text: string; ids: number[]; decoded: string }[];
};

describe("internvl tokens", () => {
  it("gives the golden ids and texts", async () => {
    for (const { text, ids, decoded } of golden.slice(0, 6)) {
      const encoded = await runCommand(["tokens", "--model", model, "--json", "-"], { stdin: text });
      const said = JSON.parse(encoded.output);
      expect(said.ids).toEqual(ids);
      expect(said.ids).not.toEqual(ids.slice(1));
      expect(said).toMatchObject({ count: ids.length });
      expect(said.pieces).toHaveLength(ids.length);
      const back = await runCommand(["tokens", "--model", model, "--json", "--decode", ids.join(" ")]);
      expect(JSON.parse(back.output)).toEqual({ ids, text: decoded });
    }
  });

  it("prints a line a token, and their number", async () => {
    const args = ["tokens", "--model", model, "Hello,", "who"];
    const { output } = await runCommand(args);
    expect(output).toBe(
      '     1  "<s>"\n    75  "<0x48>"\n   323  "el"\n   415  "lo"\n   924  ","\n   485  "▁wh"\n   912  "o"\n7 tokens\n',
    );
    const bare = await runCommand([...args, "--no-special"]);
    expect(bare.output).toBe(output.split("\n").slice(1).join("\n").replace("7 tokens", "6 tokens"));
    const decoded = await runCommand(["tokens", "--model", model, "--decode"], { stdin: "[75, 323,415]\n" });
    expect(decoded.output).toBe("Hello\n");
  });

  it("says what is wrong", async () => {
    const said = async (args: string[], terminal: "stdin"[] = []) =>
      await runCommand(["tokens", ...args], { terminal });
    expect(await said(["--model", model, "--decode", "1 x"])).toMatchObject({
      exitCode: 2,
      errors: 'internvl: --decode: "x" is not a token id\n',
    });
    expect(await said(["--model", model, "--decode", "999999"])).toMatchObject({ exitCode: 1 });
    expect((await said(["--model", model], ["stdin"])).errors).toContain("there is no text");
    expect(await said(["text"])).toMatchObject({ exitCode: 0 }); // the built-in model's
    expect((await said(["--model", "./nowhere", "text"])).errors).toContain(
      "./nowhere: there is no such folder",
    );
  });
});
