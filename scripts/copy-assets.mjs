// Copies what the compiler leaves behind, but the built package reads at run time, from src to dist.
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = "backend/cpu/wasm/";
const from = new URL(`../src/${folder}`, import.meta.url);
const to = new URL(`../dist/${folder}`, import.meta.url);
mkdirSync(fileURLToPath(to), { recursive: true });
for (const file of readdirSync(fileURLToPath(from))) {
  if (file.endsWith(".wasm")) copyFileSync(new URL(file, from), new URL(file, to));
}
