// Builds the C kernels as a shared library, once for each kind of processor they know. Without a C compiler it says so
// and ends well: the package works without them. `--force` rebuilds what is up to date, `--strict` fails instead of
// giving up, `--sanitize` builds with the address sanitizer.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = join(root, "src/backend/cpu/native");
const out = join(root, "build");
const library = join(out, `internvl-${process.platform}-${process.arch}.node-library`);
const options = new Set(process.argv.slice(2));

/** Files that are the same for every processor, and files that are compiled for each. */
const common = ["run.c", "library.c"];
const kernels = readdirSync(sources).filter(
  (file) => file.endsWith(".c") && !common.includes(file) && !file.startsWith("wasm"),
);

const avx2 = ["-mavx2", "-mfma", "-mf16c"];
const avx512 = [...avx2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mprefer-vector-width=512"];
const avx512bf16 = [...avx512, "-mavx512bf16", "-mavx512vnni"];
const variants = {
  x64: {
    baseline: [],
    avx2,
    avx512,
    avx512bf16,
    amx: [...avx512bf16, "-mamx-tile", "-mamx-bf16", "-mamx-int8"],
  },
  arm64: { baseline: [] },
};

function giveUp(why) {
  console.error(`internvl: native kernels were not built: ${why}`);
  process.exit(options.has("--strict") ? 1 : 0);
}

function findCompiler() {
  for (const compiler of [process.env.CC, "cc", "gcc", "clang"]) {
    if (!compiler) continue;
    try {
      return {
        compiler,
        version: execFileSync(compiler, ["--version"], { encoding: "utf8" }).split("\n")[0],
      };
    } catch {}
  }
  return undefined;
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    let output = "";
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (output += data));
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(output) : reject(new Error(output || `exit code ${code}`)),
    );
  });
}

const found = findCompiler();
if (!["linux", "darwin"].includes(process.platform))
  giveUp(`${process.platform} is not a platform they build on`);
if (!variants[process.arch]) giveUp(`${process.arch} is not an architecture they know`);
if (!found) giveUp("there is no C compiler (tried $CC, cc, gcc and clang)");

const flags = [
  "-std=gnu17",
  "-O3",
  "-fPIC",
  "-pthread",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-Wall",
  "-Wextra",
  "-Wno-psabi",
];
// The library's threads wait in its code: it must stay where it is when its last user lets go of it.
const link = ["-shared", ...(process.platform === "linux" ? ["-Wl,-z,nodelete"] : [])];
if (options.has("--sanitize")) flags.push("-fsanitize=address", "-g");
const hash = createHash("sha256")
  .update(found.version)
  .update(JSON.stringify([flags, link, variants[process.arch]]));
for (const file of readdirSync(sources).sort()) {
  if (/\.[ch]$/.test(file)) hash.update(file).update(readFileSync(join(sources, file)));
}
const stamp = join(out, "native.stamp");
const digest = hash.digest("hex");
if (
  !options.has("--force") &&
  existsSync(library) &&
  existsSync(stamp) &&
  readFileSync(stamp, "utf8") === digest
) {
  process.exit(0);
}

const objects = join(out, "objects");
rmSync(objects, { recursive: true, force: true });
mkdirSync(objects, { recursive: true });
const jobs = common.map((file) => ({ file, args: [], object: join(objects, `${file}.o`) }));
for (const [variant, features] of Object.entries(variants[process.arch])) {
  for (const file of kernels) {
    jobs.push({
      file,
      args: [`-DVARIANT=${variant}`, ...features],
      object: join(objects, `${file}.${variant}.o`),
    });
  }
}
try {
  const queue = [...jobs];
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      for (let job = queue.shift(); job; job = queue.shift()) {
        const output = await run(found.compiler, [
          ...flags,
          ...job.args,
          "-c",
          join(sources, job.file),
          "-o",
          job.object,
        ]);
        if (output) process.stderr.write(output);
      }
    }),
  );
  // Linked beside its place and moved there, so that a process that has the old one open keeps it whole.
  const fresh = `${library}.${process.pid}`;
  await run(found.compiler, [...flags, ...link, ...jobs.map(({ object }) => object), "-lm", "-o", fresh]);
  await run("mv", [fresh, library]);
  writeFileSync(stamp, digest);
  rmSync(objects, { recursive: true, force: true });
  console.error(`internvl: native kernels built with ${found.version}`);
} catch (error) {
  giveUp(`the compiler failed:\n${error.message}`);
}
