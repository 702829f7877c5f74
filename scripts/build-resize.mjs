// Builds src/media/resize-passes.c to WebAssembly and writes it into src/media/resize-passes-bytes.ts, so that pictures are
// resized the same way, without a file to fetch, in Node and in browsers. Needs clang 19 and lld 19; `--check` only
// compares with what is committed.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const media = fileURLToPath(new URL("../src/media", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "internvl-resize-"));
const binary = join(folder, "resize.wasm");
execFileSync("clang-19", [
  ...[
    "--target=wasm32",
    "-msimd128",
    "-mbulk-memory",
    "-O3",
    "-nostdlib",
    "-ffreestanding",
    "-Wall",
    "-Wextra",
  ],
  ...["-Wl,--no-entry", "-Wl,--export=__heap_base", "-Wl,--strip-all"],
  ...[join(media, "resize-passes.c"), "-o", binary],
]);
const base64 = readFileSync(binary).toString("base64");
rmSync(folder, { recursive: true });
const target = join(media, "resize-passes-bytes.ts");
const text = `/** resize-passes.c, built by scripts/build-resize.mjs. */
export const resizePasses =
  "${base64}";
`;
if (process.argv.includes("--check")) {
  const same = readFileSync(target, "utf8") === text;
  console.log(
    same
      ? "resize-passes-bytes.ts is what the source gives"
      : "resize-passes-bytes.ts is not what the source gives",
  );
  process.exitCode = same ? 0 : 1;
} else {
  writeFileSync(target, text);
}
