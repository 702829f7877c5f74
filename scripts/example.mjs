// npm run example -- NAME [arguments]: builds what is missing and runs examples/NAME.ts.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { makeReady, root } from "./ready.mjs";

const [name = "", ...rest] = process.argv.slice(2);
const file = join(root, "examples", `${name}.ts`);
if (!/^\w+$/.test(name) || !existsSync(file)) {
  const names = readdirSync(join(root, "examples")).filter((each) => each.endsWith(".ts"));
  console.error(
    `npm run example -- NAME, where NAME is one of ${names.map((each) => each.slice(0, -3)).join(", ")}`,
  );
  process.exit(2);
}
makeReady();
const reader = pathToFileURL(join(root, "scripts/typescript.mjs")).href;
const { status } = spawnSync(process.execPath, ["--import", reader, file, ...rest], { stdio: "inherit" });
process.exit(status ?? 1);
