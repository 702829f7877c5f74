// Builds the C kernels as WebAssembly, once without and once with relaxed SIMD, into src/backend/cpu/wasm, where they are
// committed. Needs clang-19 and wasm-ld-19 (Debian: `apt-get install clang-19 lld-19`). `--check` fails when the
// sources are not those it was built from, or, with the same compiler, when a byte differs. CLANG and WASM_LD name other places.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const { CLANG = "clang-19", WASM_LD = "wasm-ld-19" } = process.env;
const root = fileURLToPath(new URL("..", import.meta.url));
const sources = join(root, "src/backend/cpu/native");
const out = join(root, "src/backend/cpu/wasm");
const check = process.argv.includes("--check");

const variants = {
  simd128: { file: "internvl.wasm", args: [] },
  relaxed: { file: "internvl-relaxed.wasm", args: ["-mrelaxed-simd"] },
};
/** What the host calls; the last line is for the tests of wasm/libc.c. */
const exported = [
  ...["internvl_walk", "internvl_begin", "internvl_step", "internvl_workspace_bytes", "internvl_pack"],
  ...["internvl_write", "internvl_read_rate", "internvl_product_rate"],
  ...["__stack_pointer", "__heap_base"],
  ...["exp", "log", "ldexpf"],
];
const files = readdirSync(sources, { recursive: true })
  .filter((file) => /\.[ch]$/.test(file) && file !== "library.c")
  .sort();
const compile = [
  ...["--target=wasm32", "-nostdlib", "-isystem", "wasm/include", "-std=gnu17", "-O3", "-c"],
  ...["-msimd128", "-matomics", "-mbulk-memory", "-mmutable-globals", "-msign-ext", "-mnontrapping-fptoint"],
  ...[
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
  ],
];
const link = [
  ...["--no-entry", "--import-memory", "--shared-memory", "--strip-all"],
  // The host's memory starts with 2 MiB and grows.
  ...["--initial-memory=2097152", "--max-memory=4294967296"],
  ...["--stack-first", "-z", "stack-size=1048576", ...exported.map((name) => `--export=${name}`)],
];

/** Everything that decides the bytes, but for the compiler. */
function digestOfSources() {
  const hash = createHash("sha256").update(JSON.stringify([variants, compile, link]));
  for (const file of files) hash.update(file).update(readFileSync(join(sources, file)));
  return hash.digest("hex");
}

function build(variant) {
  const folder = mkdtempSync(join(tmpdir(), "internvl-wasm-"));
  try {
    const objects = files.flatMap((file) => {
      if (!file.endsWith(".c")) return [];
      const object = join(folder, `${file.replaceAll("/", "-")}.o`);
      const args = [...compile, ...variants[variant].args, `-DVARIANT=${variant}`, file, "-o", object];
      execFileSync(CLANG, args, { cwd: sources, stdio: "inherit" });
      return [object];
    });
    const module = join(folder, "module.wasm");
    execFileSync(WASM_LD, [...link, ...objects, "-o", module], { stdio: "inherit" });
    return readFileSync(module);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const record = join(out, "build.json");
const committed = check ? JSON.parse(readFileSync(record, "utf8")) : undefined;
const sourcesDigest = digestOfSources();
let compiler;
try {
  compiler = execFileSync(CLANG, ["--version"], { encoding: "utf8" }).split("\n")[0];
} catch (error) {
  if (!check) throw error;
}
if (check) {
  if (committed.sources !== sourcesDigest) fail("the sources have changed since it was built");
  if (committed.compiler !== compiler) {
    console.error(
      `internvl: the sources are those it was built from; bytes not compared: that takes ${committed.compiler}`,
    );
    process.exit(0);
  }
}
mkdirSync(out, { recursive: true });
for (const [variant, { file }] of Object.entries(variants)) {
  const bytes = build(variant);
  if (!check) writeFileSync(join(out, file), bytes);
  else if (!bytes.equals(readFileSync(join(out, file)))) fail(`${file} is not what the sources give`);
  console.error(`internvl: ${file}: ${bytes.length} bytes${check ? ", as committed" : ""}`);
}
if (!check) writeFileSync(record, `${JSON.stringify({ compiler, sources: sourcesDigest }, undefined, 2)}\n`);

function fail(problem) {
  console.error(`internvl: the WebAssembly kernels: ${problem}: run npm run build:wasm`);
  process.exit(1);
}
