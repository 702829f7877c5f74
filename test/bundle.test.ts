import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import * as vite from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requireBuild, root } from "./built.ts";

/** Inside the repository, so that the package is found by its own name. */
mkdirSync(join(root, "build"), { recursive: true });
const scratch = mkdtempSync(join(root, "build/bundle-"));
const page = join(scratch, "page.js");
const pageWithModel = join(scratch, "page-with-model.js");
beforeAll(async () => {
  await requireBuild();
  writeFileSync(page, 'import * as internvl from "internvl";\nglobalThis.internvl = internvl;\n');
  const lines = ['import { InternVL } from "internvl";', 'import { demo } from "internvl/demo";'];
  writeFileSync(pageWithModel, `${lines.join("\n")}\nglobalThis.model = InternVL.load(demo);\n`);
});
afterAll(() => rmSync(scratch, { recursive: true }));

/** What a page must not ask for: Node's own modules, and the packages that only Node can load. */
const onlyNode = /^(node:|koffi$|sharp$|webgpu$|fs$|path$|os$|crypto$|worker_threads$)/;

async function bundle(options: esbuild.BuildOptions = {}) {
  const { metafile, warnings } = await esbuild.build({
    entryPoints: [page],
    bundle: true,
    minify: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    outdir: join(scratch, "esbuild"),
    metafile: true,
    logLevel: "silent",
    // The repository's own would lead to the sources.
    tsconfigRaw: "{}",
    ...options,
  });
  return { metafile: metafile!, warnings };
}

/** Files of src that only Node can load, where a file that pages load has an import() of them. */
function doorsToNode(): Set<string> {
  const doors = new Set<string>();
  for (const file of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })) {
    const name = file.replaceAll("\\", "/");
    const forNode = /\.node\.ts$|\.test\.ts$|^(cli|server|evaluate|benchmark)\//.test(name);
    if (forNode || !name.endsWith(".ts")) continue;
    for (const [, to] of readFileSync(join(root, "src", file), "utf8").matchAll(
      /import\("(\.[^"]+\.node)\.ts"\)/g,
    )) {
      doors.add(`./dist/${posix.join(posix.dirname(name), to)}.js`);
    }
  }
  return doors;
}

describe("the package in a page", () => {
  it("has every door to Node in package.json's field for browsers, which closes it", () => {
    const { browser } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { browser: object };
    expect(Object.keys(browser).sort()).toEqual([...doorsToNode()].sort());
    expect(new Set(Object.values(browser))).toEqual(new Set([false]));
  });

  it("is bundled by esbuild as it stands, without a module of Node's", async () => {
    const { metafile, warnings } = await bundle();
    expect(warnings).toEqual([]);
    const outputs = Object.values(metafile.outputs);
    const outside = outputs.flatMap(({ imports }) => imports.filter(({ external }) => external));
    expect(outside).toEqual([]);
    expect(
      Object.keys(metafile.inputs).filter((file) => /node:|node_modules\/(koffi|sharp|webgpu)\//.test(file)),
    ).toEqual([]);
    // Its own doors to Node are there, and lead nowhere.
    const doors = outputs.filter(({ entryPoint }) => entryPoint?.includes(".node.js"));
    expect(doors.length).toBeGreaterThan(5);
    expect(doors.every(({ bytes }) => bytes < 500)).toBe(true);
  });

  it("is small: what a page loads before it does anything", async () => {
    const { metafile } = await bundle();
    const entry = Object.keys(metafile.outputs).find((file) => file.endsWith("/page.js"))!;
    const loaded = new Set([entry]);
    for (const file of loaded) {
      for (const { path, kind } of metafile.outputs[file].imports)
        if (kind === "import-statement") loaded.add(path);
    }
    const bytes = [...loaded].map((file) => readFileSync(file));
    expect(bytes.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(220_000);
    expect(gzipSync(Buffer.concat(bytes)).length).toBeLessThan(80_000);
  });

  it("would notice Node: without the package's field for browsers it cannot be bundled", async () => {
    await expect(bundle({ platform: "neutral" })).rejects.toThrow(/Could not resolve "node:/);
  });

  it("is bundled by vite as it stands, with the files that go with it", async () => {
    const warnings: string[] = [];
    const outDir = join(scratch, "vite");
    const logger = vite.createLogger("silent");
    logger.warn = (text) => void warnings.push(text);
    logger.warnOnce = logger.warn;
    const result = await vite.build({
      configFile: false,
      root: scratch,
      customLogger: logger,
      build: { outDir, rollupOptions: { input: pageWithModel }, target: "es2023" },
    });
    expect(warnings.filter((text) => !text.includes("chunks are larger"))).toEqual([]);
    const { output } = result as Exclude<typeof result, unknown[] | { on: unknown }>;
    const chunks = output.filter((file) => file.type === "chunk");
    const imported = chunks.flatMap(({ imports, dynamicImports }) => [...imports, ...dynamicImports]);
    expect(imported.filter((name) => onlyNode.test(name))).toEqual([]);
    const files = readdirSync(join(outDir, "assets")).map((file) => file.replace(/-[\w-]{8}\./, "."));
    expect(files).toEqual(
      expect.arrayContaining([
        ...["internvl.wasm", "internvl-relaxed.wasm", "mozjpeg_dec.wasm", "webp_dec.wasm"],
        ...["model.safetensors", "tokenizer.model"],
      ]),
    );
  });

  it("takes the built-in model along only where it is asked for", async () => {
    const { metafile } = await bundle();
    expect(Object.keys(metafile.inputs).filter((file) => /built-in-model\.js$/.test(file))).toEqual([]);
    const { metafile: other } = await bundle({ entryPoints: [pageWithModel] });
    expect(Object.keys(other.inputs).filter((file) => /built-in-model\.js$/.test(file))).toHaveLength(1);
  });
});
