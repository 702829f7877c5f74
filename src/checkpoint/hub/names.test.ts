import { sep } from "node:path";
import { join } from "node:path/posix";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError } from "../../errors.ts";
import { checkRepository, checkRevision, isCommit, isRepository, isSafePath } from "./names.ts";

describe("names", () => {
  it.each(["OpenGVLab/InternVL2-8B", "a/b", "Org_1/name.v2", "0/1"])("%s is a repository", (id) => {
    expect(checkRepository(id)).toBe(id);
  });

  it.each([
    "",
    "gpt2",
    "a/b/c",
    "../b",
    "a/..",
    "/a",
    "a/",
    "a//b",
    "a--b/c",
    "a/b..c",
    "-a/b",
    "a/b.",
    "a/b.git",
  ])("%j is no repository", (id) => {
    expect(isRepository(id)).toBe(false);
    expect(() => checkRepository(id)).toThrow(OptionError);
  });

  it("knows a full commit hash from a branch", () => {
    expect(isCommit("0123456789abcdef0123456789abcdef01234567")).toBe(true);
    expect(isCommit("0123456")).toBe(false);
    expect(isCommit("0123456789ABCDEF0123456789ABCDEF01234567")).toBe(false);
  });

  it("takes branches, tags and pull requests, and no way out of refs/", () => {
    for (const revision of ["main", "v1.0", "refs/pr/1"]) expect(checkRevision(revision)).toBe(revision);
    for (const revision of ["", "..", "../x", "a/../b", "/etc", "a//b", "a\\b", "c:x", "a\0"]) {
      expect(() => checkRevision(revision)).toThrow(OptionError);
    }
  });

  it("lets no path out of its folder", () => {
    const piece = fc.constantFrom("..", ".", "/", "\\", "a", "", "\0", "C:", sep);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const path = pieces.join("");
        return !isSafePath(path) || join("/folder", path).startsWith("/folder/");
      }),
    );
    expect(join("/folder", "../x").startsWith("/folder/")).toBe(false);
  });
});
