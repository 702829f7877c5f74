import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { publint } from "publint";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requireBuild, root, runNode } from "./built.ts";

beforeAll(requireBuild);

/** Inside the repository, so that the package is found by its own name. */
const scratch = mkdtempSync(join(root, "build-consumer-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const consumer = `
import {
  buildPrompt, chooseGrid, decodeImage, InternVL, InternVLError, pipeline, sampleFrames, tileImage,
  type ChatOptions, type GenerationOptions, type LoadOptions, type Pipeline, type Reply, type RGBImage, type Turn,
} from "internvl";

const [source] = process.argv.slice(2);
const options: LoadOptions = { device: "reference", precision: "f32" };
await using model = await InternVL.load(source, options);

const image: RGBImage = { width: 40, height: 20, data: new Uint8Array(2400).fill(90) };
const [columns, rows]: [number, number] = chooseGrid(40, 20, { minTiles: 1, maxTiles: 4, tileSize: 112 });
const tiling: { grid: [number, number]; tiles: Uint8Array[] } = tileImage(image, { maxTiles: 4, tileSize: 112 });
const frames: number[] = sampleFrames({ bound: null, fps: 30, lastFrame: 894, segments: 4 });
const features: Float32Array = await model.encodeImages(tiling.tiles);
const text: string = buildPrompt({ question: "<image>\\nWhat?", tiles: [tiling.tiles.length], tokensPerTile: 16 });
const ids: number[] = model.tokenizer.encode(text);
const logits: Float32Array = await model.logits(ids, features);
const { sequences } = await model.generate(ids, {
  features, maxNewTokens: 3, numBeams: 2, numReturnSequences: 2, doSample: false, stop: [2],
});
const best: { ids: number[]; score: number; finishReason: "stop" | "length" } = {
  ...sequences[0], ids: [...sequences[0].ids],
};
const decoded: string = model.tokenizer.decode(best.ids);

const chatOptions: ChatOptions = { images: [image, [image], new Blob([])].slice(0, 1), maxNewTokens: 2 };
const generation: GenerationOptions = { topP: 0.9, doSample: true, seed: 1 };
const reply: Reply = await model.chat("What?", { ...chatOptions, ...generation });
const history: Turn[] = reply.history;
let streamed = "";
for await (const piece of model.stream("And?", { history, maxNewTokens: 2 })) streamed += piece.text;
const replies: Reply[] = await model.batchChat([{ question: "What?", maxNewTokens: 1 }]);
const pipe: Pipeline = pipeline(model, { maxNewTokens: 1 });
const one: Reply = await pipe(["What?", image]);
const refused: unknown = await decodeImage(new Uint8Array(3)).catch((error: unknown) => error);
if (!(refused instanceof InternVLError)) throw new Error("not refused");
const code: string = refused.code;

console.log(JSON.stringify({
  grid: [columns, rows], tiles: tiling.tiles.length, frames, rows: features.length, logits: logits.length,
  sequences: sequences.length, decoded: typeof decoded, history: history.length, streamed: typeof streamed,
  replies: replies.length, one: one.finishReason, code,
}));
`;

describe("the built package", () => {
  it("is used by its own name, with its types, under the strictest checks", () => {
    const file = join(scratch, "consumer.mts");
    writeFileSync(file, consumer);
    const check = (name: string) => {
      const program = ts.createProgram([name], {
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: false,
        target: ts.ScriptTarget.ES2022,
        lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts", "lib.dom.asynciterable.d.ts"],
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
        types: ["node"],
      });
      return ts
        .getPreEmitDiagnostics(program)
        .filter(({ file: where }) => !where?.fileName.includes("/node_modules/"))
        .map(
          ({ messageText, file: where }) =>
            `${where?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
        );
    };
    expect(check(file)).toEqual([]);
    // A wrong use is found: the types are really there.
    const wrong = join(scratch, "wrong.mts");
    writeFileSync(
      wrong,
      'import { chooseGrid } from "internvl";\nconst grid: string = chooseGrid("wide", 2);\n',
    );
    expect(check(wrong)).toHaveLength(2);
  });

  it("runs, and gives its memory back at the end of the block", async () => {
    const file = join(scratch, "consumer.mjs");
    const { outputText } = ts.transpileModule(consumer, {
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
    });
    writeFileSync(file, outputText);
    const { stdout, stderr } = await runNode(["--trace-warnings", file, "test/golden/models/tiny-2b"]);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual({
      grid: [2, 1],
      tiles: 3,
      frames: [111, 335, 558, 781],
      rows: 3 * 16 * 256,
      logits: 975,
      sequences: 2,
      decoded: "string",
      history: 1,
      streamed: "string",
      replies: 1,
      one: "length",
      code: "MEDIA",
    });
  });

  it("shows nothing but its face", async () => {
    const names = Object.keys((await import(join(root, "dist/index.js"))) as object);
    expect(names).toEqual(expect.arrayContaining(["InternVL", "pipeline", "buildPrompt", "loadImage"]));
    expect(names).not.toContain("Engine");
    await expect(
      runNode(["--input-type=module", "--eval", 'await import("internvl/dist/engine/engine.js")']),
    ).rejects.toThrow("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });

  it("has a command that runs", async () => {
    const { stdout } = await runNode(["dist/cli/main.js", "--version"]);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("is packed without tests and golden data, and is what publint wants", async () => {
    const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: root,
      shell: process.platform === "win32",
    });
    const [{ files }] = JSON.parse(stdout) as { files: { path: string }[] }[];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        "LICENSE",
        "README.md",
        "dist/index.js",
        "dist/index.d.ts",
        "dist/backend/cpu/wasm/internvl.wasm",
        "scripts/build-native.mjs",
      ]),
    );
    expect(
      paths.filter(
        (path) =>
          /\.test\.|golden|^(test|src|training|examples)\//.test(path) &&
          !/^src\/backend\/cpu\/native\/.*\.[ch]$/.test(path),
      ),
    ).toEqual([]);
    const { messages } = await publint({ pkgDir: root, strict: true });
    // The field for browsers names our own files; conditions could not, for the sources are run as they stand, too.
    expect(messages.filter(({ code }) => code !== "USE_EXPORTS_OR_IMPORTS_BROWSER")).toEqual([]);
  });

  it("has no source file that the build forgot, and no built file without a source", () => {
    const list = (folder: string, ending: string) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(ending) && !/\.test\.|\.d\.ts$/.test(file))
        .map((file) => file.slice(0, -ending.length))
        .sort();
    expect(list("dist", ".js")).toEqual(list("src", ".ts"));
  });
});
