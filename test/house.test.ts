import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, posix } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { root } from "./built.ts";

/** Rooms from the ground up: a file imports from its own room, and from rooms of lower floors. */
const floors: readonly (readonly string[])[] = [
  ["errors.ts", "notice.ts", "progress.ts", "turn.ts"],
  ["text", "media", "checkpoint"],
  ["graph"],
  ["backend"],
  ["model"],
  ["engine"],
  ["chat"],
  ["server", "evaluate", "benchmark"],
  ["cli"],
];
/** What a room may import besides: `index.ts` is the face of everything below it, and nothing imports it. */
const onTop = "index.ts";
/** Packages that only Node can load. */
const nodePackages = [
  "sharp",
  "koffi",
  "commander",
  "cli-progress",
  "@clack/prompts",
  "@mediabunny/server",
  "webgpu",
];

interface Import {
  readonly from: string;
  readonly to: string;
  /** Loaded when it is needed: such an import may lead to a `.node.ts` file. */
  readonly dynamic: boolean;
}

const posixPath = (file: string) => file.replaceAll("\\", "/");
const filesOf = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map(posixPath)
    .filter((file) => !file.includes("node_modules/"))
    .sort();
const sources = filesOf("src").filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"));
const read = (file: string) => readFileSync(join(root, file), "utf8");

/** The imports of a file of src, those of types too. */
function importsOf(from: string, text: string): Import[] {
  const found: Import[] = [];
  const visit = (node: ts.Node) => {
    const isImport = ts.isImportDeclaration(node) || ts.isExportDeclaration(node);
    const called = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
    const inType = ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && node.argument.literal;
    const target = isImport ? node.moduleSpecifier : called ? node.arguments[0] : inType || undefined;
    if (target && ts.isStringLiteral(target)) found.push({ from, to: target.text, dynamic: called });
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(from, text, ts.ScriptTarget.Latest));
  return found;
}

const roomOf = (file: string) => file.split("/")[0];
const floorOf = (file: string) => floors.findIndex((rooms) => rooms.includes(roomOf(file)));
const isNodeFile = (file: string) => file.endsWith(".node.ts") || roomOf(file) === "cli";

/** What is wrong with an import, or nothing. */
function faultOf({ from, to, dynamic }: Import): string | undefined {
  const says = (problem: string) => `${from} imports ${to}: ${problem}`;
  if (!to.startsWith(".")) {
    const onlyNode = to.startsWith("node:") || builtinModules.includes(to) || nodePackages.includes(to);
    return onlyNode && !isNodeFile(from) ? says("only *.node.ts files and src/cli may") : undefined;
  }
  const target = posix.normalize(posix.join(posix.dirname(from), to));
  if (target === onTop) return says("nothing imports the face");
  if (target.endsWith(".node.ts") && !isNodeFile(from) && !dynamic) {
    return says("a browser would load it; use await import() behind a check");
  }
  if (from === onTop || roomOf(from) === roomOf(target)) return undefined;
  return floorOf(target) < floorOf(from) ? undefined : says("imports run downwards only");
}

describe("the house", () => {
  const imports = sources.flatMap((file) => importsOf(file, read(`src/${file}`)));

  it("has every file in a room that is known", () => {
    expect(imports.length).toBeGreaterThan(200);
    expect(sources.filter((file) => file !== onTop && floorOf(file) < 0)).toEqual([]);
  });

  it("has imports that run downwards only, and Node's own behind doors that a browser never opens", () => {
    expect(imports.map(faultOf).filter(Boolean)).toEqual([]);
  });

  it("would notice", () => {
    const fault = (from: string, text: string) => faultOf(importsOf(from, text)[0]);
    expect(fault("text/a.ts", 'import type { X } from "../media/b.ts";')).toContain("downwards only");
    expect(fault("graph/a.ts", 'export * from "../model/b.ts";')).toContain("downwards only");
    expect(fault("media/a.ts", 'const x = await import("node:fs");')).toContain("only *.node.ts");
    expect(fault("media/a.ts", 'import sharp from "sharp";')).toContain("only *.node.ts");
    expect(fault("media/a.ts", 'import { x } from "./b.node.ts";')).toContain("a browser would load it");
    expect(fault("chat/a.ts", 'import { x } from "../index.ts";')).toContain("nothing imports the face");
    expect(fault("text/a.ts", 'let x: import("../engine/b.ts").X;')).toContain("downwards only");
    expect(fault("media/a.ts", 'const x = await import("./b.node.ts");')).toBeUndefined();
    expect(fault("engine/a.ts", 'import { x } from "../errors.ts";')).toBeUndefined();
  });

  it("has files that a reader can hold", () => {
    const lines = sources.map((file) => [read(`src/${file}`).split("\n").length, file] as const);
    expect(lines.filter(([count]) => count > 600)).toEqual([]);
    const sorted = lines.map(([count]) => count).sort((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(150);
  });
});

describe("what is written about it", () => {
  const pages = ["README.md", "MODEL.md", "SPEED.md", "examples/README.md"].filter((file) =>
    existsSync(join(root, file)),
  );

  it("has a README, and logs what was measured", () => {
    expect(pages).toEqual(expect.arrayContaining(["README.md", "SPEED.md"]));
  });

  it.each(pages)("%s links to files that are there", (page) => {
    const links = [...read(page).matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)].map(([, target]) => target);
    const local = links.filter((target) => !/^[a-z]+:/.test(target));
    const missing = local.filter((target) => !existsSync(join(root, dirname(page), target)));
    expect(missing).toEqual([]);
  });

  it.each(pages)("%s names scripts that there are", (page) => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const named = [...read(page).matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
    const files = [...read(page).matchAll(/node ((?:bench|scripts)\/[\w./-]+)/g)].map(([, file]) => file);
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });
});

describe("what is committed", () => {
  const texts = ["src", "test", "examples", "scripts", "bench", ".ci"]
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => filesOf(folder).map((file) => `${folder}/${file}`))
    .filter((file) => !file.startsWith("test/golden/"))
    .filter((file) => /\.(ts|mjs|js|c|h|md)$/.test(file) || file.startsWith(".ci/"))
    .concat(["README.md", "SPEED.md", "package.json"]);

  it("knows no machine but the one it runs on", () => {
    // Tests may invent a home; nobody may name a folder of the machine they were written on.
    const named = (file: string, text: string) =>
      (/\.test\.ts$/.test(file)
        ? /["'`\s(]\/(Users|work|root|mnt)\//
        : /["'`\s(]\/(home|Users|work|root|mnt)\//
      ).test(text);
    expect(named("a.ts", ['open("', "/ho", 'me/me/x")'].join(""))).toBe(true);
    expect(texts.filter((file) => named(file, read(file)))).toEqual([]);
  });

  it("has a lockfile without hosts", () => {
    const lock = read("package-lock.json");
    expect(lock).not.toContain('"resolved": "http');
    expect(lock).toContain('"integrity"');
    expect(read(".npmrc")).toContain("omit-lockfile-registry-resolved=true");
  });
});
