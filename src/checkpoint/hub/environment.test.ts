import { describe, expect, it } from "vitest";
import { OptionError } from "../../errors.ts";
import { readHubEnvironment } from "./environment.ts";

const read = (variables: Record<string, string | undefined>) => readHubEnvironment(variables, "/home/ada");

describe("readHubEnvironment", () => {
  it("has the defaults of Python's huggingface_hub", () => {
    expect(read({})).toEqual({
      cacheFolder: "/home/ada/.cache/huggingface/hub",
      endpoint: "https://huggingface.co",
      token: undefined,
      tokenPath: "/home/ada/.cache/huggingface/token",
      offline: false,
      symlinks: true,
      stallMilliseconds: 10_000,
    });
  });

  // Each row adds a variable that outranks those above it.
  it("ranks the variables that say where the cache is", () => {
    const rows: [string, string, string][] = [
      ["XDG_CACHE_HOME", "/xdg", "/xdg/huggingface/hub"],
      ["HF_HOME", "/hf", "/hf/hub"],
      ["HUGGINGFACE_HUB_CACHE", "/legacy", "/legacy"],
      ["HF_HUB_CACHE", "/cache", "/cache"],
    ];
    const variables: Record<string, string> = {};
    for (const [name, value, cacheFolder] of rows) {
      variables[name] = value;
      expect(read(variables).cacheFolder, name).toBe(cacheFolder);
    }
    const reversed = read({ HUGGINGFACE_HUB_CACHE: "/legacy", HF_HUB_CACHE: "/cache" }).cacheFolder;
    expect(reversed).not.toBe("/legacy");
  });

  it("ranks the variables that say where the token is", () => {
    expect(read({ HF_HOME: "/hf" }).tokenPath).toBe("/hf/token");
    expect(read({ HF_HOME: "/hf", HF_TOKEN_PATH: "/secret" }).tokenPath).toBe("/secret");
    expect(read({ HUGGING_FACE_HUB_TOKEN: "old" }).token).toBe("old");
    expect(read({ HUGGING_FACE_HUB_TOKEN: "old", HF_TOKEN: "hf_new\n" }).token).toBe("hf_new");
    expect(read({ HF_TOKEN: "  " }).token).toBeUndefined();
    const implicit = read({ HF_TOKEN: "hf_new", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" });
    expect([implicit.token, implicit.tokenPath]).toEqual([undefined, undefined]);
  });

  it.each([
    ["1", true],
    ["ON", true],
    ["on", true],
    ["Yes", true],
    ["true", true],
    ["0", false],
    ["false", false],
    ["2", false],
    ["y", false],
    ["", false],
    [" 1", false],
    [undefined, false],
  ])("a switch set to %j is %j", (value, on) => {
    expect(read({ HF_HUB_OFFLINE: value }).offline).toBe(on);
    expect(read({ HF_HUB_DISABLE_SYMLINKS: value }).symlinks).toBe(!on);
  });

  it("asks TRANSFORMERS_OFFLINE only where HF_HUB_OFFLINE says nothing", () => {
    expect(read({ TRANSFORMERS_OFFLINE: "1" }).offline).toBe(true);
    expect(read({ TRANSFORMERS_OFFLINE: "1", HF_HUB_OFFLINE: "" }).offline).toBe(true);
    expect(read({ TRANSFORMERS_OFFLINE: "1", HF_HUB_OFFLINE: "0" }).offline).toBe(false);
  });

  it("replaces ~ and variables in paths, and leaves unknown ones as written", () => {
    expect(read({ HF_HOME: "~/models" }).cacheFolder).toBe("/home/ada/models/hub");
    expect(read({ HF_HOME: "$DISK/hf", DISK: "/big" }).cacheFolder).toBe("/big/hf/hub");
    expect(read({ HF_HUB_CACHE: `\${DISK}/hub`, DISK: "/big" }).cacheFolder).toBe("/big/hub");
    expect(read({ HF_HUB_CACHE: "$NOWHERE/hub" }).cacheFolder).toBe("$NOWHERE/hub");
    expect(read({ HF_HUB_CACHE: "~bob/hub" }).cacheFolder).toBe("~bob/hub");
    expect(read({ HF_HOME: "/slash/" }).cacheFolder).toBe("/slash/hub");
  });

  it("takes empty variables as not set", () => {
    const empty = { HF_HOME: "", HF_HUB_CACHE: "", HF_ENDPOINT: "", HF_TOKEN: "", XDG_CACHE_HOME: "" };
    expect(read(empty)).toEqual(read({}));
  });

  it("cuts the last slash of the endpoint, and refuses what is no web address", () => {
    expect(read({ HF_ENDPOINT: "https://mirror.example/hub/" }).endpoint).toBe("https://mirror.example/hub");
    for (const HF_ENDPOINT of ["mirror.example", "ftp://mirror.example", "file:///etc"]) {
      expect(() => read({ HF_ENDPOINT })).toThrow(OptionError);
    }
  });

  it("reads the timeout in whole seconds", () => {
    expect(read({ HF_HUB_DOWNLOAD_TIMEOUT: "30" }).stallMilliseconds).toBe(30_000);
    expect(read({ HF_HUB_DOWNLOAD_TIMEOUT: "0" }).stallMilliseconds).toBe(10_000);
    for (const HF_HUB_DOWNLOAD_TIMEOUT of ["soon", "1.5", "-3"]) {
      expect(() => read({ HF_HUB_DOWNLOAD_TIMEOUT })).toThrow(OptionError);
    }
  });
});
