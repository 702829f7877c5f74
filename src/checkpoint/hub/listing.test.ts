import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HubError } from "../../errors.ts";
import { parseListing } from "./listing.ts";
import { isCommit, isSafePath } from "./names.ts";

const hub = { endpoint: "http://127.0.0.1", repository: "Org/Tiny" };
const sha = "0123456789abcdef0123456789abcdef01234567";

describe("parseListing", () => {
  it("takes the names, and none that leads out of the folder", () => {
    const siblings = ["config.json", "a/b.safetensors", "../x", "/etc/passwd", "a/../../x"];
    const text = JSON.stringify({ sha, siblings: siblings.map((rfilename) => ({ rfilename })) });
    expect(parseListing(hub, text)).toEqual({
      commit: sha,
      files: new Set(["config.json", "a/b.safetensors"]),
    });
  });

  it.each([
    "",
    "<html>",
    "null",
    "[]",
    "{}",
    '{"sha":"main","siblings":[]}',
    `{"sha":"${sha}"}`,
    `{"sha":"${sha}","siblings":{}}`,
  ])("refuses %s", (text) => {
    expect(() => parseListing(hub, text)).toThrow(HubError);
  });

  it("answers a damaged listing with a safe one or a HubError", () => {
    const text = JSON.stringify({
      sha,
      siblings: [{ rfilename: "config.json" }, { rfilename: "a/b" }, null, 1],
    });
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 4 }), (at, patch) => {
        try {
          const { commit, files } = parseListing(
            hub,
            text.slice(0, at) + patch + text.slice(at + patch.length),
          );
          return isCommit(commit) && [...files].every(isSafePath);
        } catch (error) {
          return error instanceof HubError;
        }
      }),
    );
  });
});
