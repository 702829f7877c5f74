// Makes a fresh clone ready to run: installs and builds what is missing or older than what it is made from. Uses Node
// alone, since nothing else is there yet.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

const made = (file) => (existsSync(join(root, file)) ? statSync(join(root, file)).mtimeMs : 0);

function newest(folder) {
  return Math.max(
    0,
    ...readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
      .map((entry) => statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs),
  );
}

/** Whether `dist` is there and as new as the sources. */
export function isBuilt() {
  return made("dist/index.js") >= Math.max(newest("src"), made("tsconfig.build.json"), made("tsconfig.json"));
}

/** Installs and builds when needed, telling on standard error what it does. */
export function makeReady() {
  // npm writes this file at the end of every install.
  if (made("node_modules/.package-lock.json") < made("package-lock.json")) npm("installing packages", "ci");
  if (!isBuilt()) npm("building", "run", "build");
}

function npm(what, ...command) {
  console.error(`${what} (npm ${command.join(" ")})`);
  const windows = process.platform === "win32";
  const { status } = spawnSync("npm", command, { cwd: root, stdio: ["ignore", 2, 2], shell: windows });
  if (status !== 0) process.exit(status ?? 1);
}
