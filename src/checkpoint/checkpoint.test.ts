import { describe, expect, it } from "vitest";
import { CheckpointError, ConfigError, DisposedError, FileError } from "../errors.ts";
import { loadDescription, readJson, readText } from "./checkpoint.ts";
import { openBlobs } from "./files.ts";
import { publishedConfigs } from "./published.ts";

const files = (content: Record<string, string | Uint8Array<ArrayBuffer>>) =>
  openBlobs("memory", new Map(Object.entries(content).map(([name, bytes]) => [name, new Blob([bytes])])));

describe("loadDescription", () => {
  it("reads config.json", async () => {
    const description = await loadDescription(
      files({ "config.json": JSON.stringify(publishedConfigs["2b"]) }),
    );
    expect(description.language.hiddenSize).toBe(2048);
  });

  it("says what is wrong with it", async () => {
    await expect(loadDescription(files({}))).rejects.toThrow(FileError);
    await expect(loadDescription(files({}))).rejects.toThrow("memory/config.json: is missing; give a folder");
    await expect(loadDescription(files({ "config.json": "{" }))).rejects.toThrow(CheckpointError);
    await expect(loadDescription(files({ "config.json": '{"model_type":"llava"}' }))).rejects.toThrow(
      ConfigError,
    );
    const deep = `{"model_type":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    await expect(loadDescription(files({ "config.json": deep }))).rejects.toThrow(ConfigError);
  });
});

describe("readText and readJson", () => {
  it("read UTF-8", async () => {
    const content = files({ a: '{"ü":"字"}', b: Uint8Array.of(0xc3) });
    expect(await readJson(content, "a")).toEqual({ ü: "字" });
    await expect(readText(content, "b")).rejects.toThrow("b: is not UTF-8 text");
    await expect(readText(content, "c")).rejects.toThrow(FileError);
    await content.close();
    await expect(readText(content, "a")).rejects.toThrow(DisposedError);
  });
});

describe("openBlobs", () => {
  it("refuses ranges beyond a blob and names beyond the checkpoint", async () => {
    const content = files({ a: "abc" });
    expect(new TextDecoder().decode(await content.read("a", 1))).toBe("bc");
    await expect(content.read("a", 1, 4)).rejects.toThrow("memory/a: bytes 1 to 4 do not lie in its 3 bytes");
    await expect(content.read("../a")).rejects.toThrow(FileError);
    expect([await content.has("a"), await content.has("b"), await content.size("a")]).toEqual([
      true,
      false,
      3,
    ]);
  });
});
