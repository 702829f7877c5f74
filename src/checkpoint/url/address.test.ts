import { afterEach, describe, expect, it, vi } from "vitest";
import { FileError, OptionError } from "../../errors.ts";
import { addressFinder, fileAddress, folderAddress, shownAddress } from "./address.ts";

afterEach(() => vi.unstubAllGlobals());

describe("the address of a folder", () => {
  it.each([
    ["https://example.org/a/b", "https://example.org/a/b/"],
    ["http://example.org", "http://example.org/"],
    ["https://example.org/a/?key=x#top", "https://example.org/a/?key=x"],
    [new URL("https://example.org/a"), "https://example.org/a/"],
  ])("%s", (source, want) => {
    expect(folderAddress(source)?.href).toBe(want);
  });

  it.each(["demo", "OpenGVLab/InternVL2-8B", "/models/8b", "./8b", "../8b", "C:\\models\\8b", "c:/models"])(
    "%s is none in Node",
    (source) => {
      expect(folderAddress(source)).toBeUndefined();
    },
  );

  it("may be relative in a page", () => {
    vi.stubGlobal("document", { baseURI: "https://example.org/site/page.html" });
    expect(folderAddress("/models/8b")?.href).toBe("https://example.org/models/8b/");
    expect(folderAddress("./8b/")?.href).toBe("https://example.org/site/8b/");
    expect(folderAddress("OpenGVLab/InternVL2-8B")).toBeUndefined();
  });

  it.each([
    ["ftp://example.org/a", "begins with https"],
    ["file:///models/8b", "give the path"],
    ["https://me:secret@example.org/", "option fetch"],
    ["https://example.org/a/config.json", "of the folder"],
    ["https://", "is not an address"],
  ])("%s is refused", (source, problem) => {
    expect(() => folderAddress(source)).toThrow(OptionError);
    expect(() => folderAddress(source)).toThrow(problem);
    expect(() => folderAddress(source)).not.toThrow("secret");
  });
});

describe("the address of a file", () => {
  it("lies in the folder, with the folder's query, whatever is in its name", () => {
    const folder = new URL("https://example.org/a/?key=x");
    expect(fileAddress(folder, "config.json").href).toBe("https://example.org/a/config.json?key=x");
    expect(fileAddress(folder, "b/what?.json").href).toBe("https://example.org/a/b/what%3F.json?key=x");
    expect(() => fileAddress(folder, "../config.json")).toThrow(FileError);
    expect(shownAddress(folder)).toBe("https://example.org/a/");
  });

  it("or is looked up in a list", () => {
    const find = addressFinder({ label: "demo", addresses: { "config.json": "data:application/json,{}" } });
    expect(find("config.json")?.protocol).toBe("data:");
    expect(find("model.safetensors")).toBeUndefined();
    expect(find("toString")).toBeUndefined();
    expect(() => find("../x")).toThrow(FileError);
  });
});
