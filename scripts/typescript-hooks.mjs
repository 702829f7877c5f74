// Module hooks: the types of a .ts file are taken away when it is loaded. Nothing is checked here; `npm run check` does.
import { readFile } from "node:fs/promises";
import ts from "typescript";

const compilerOptions = {
  target: ts.ScriptTarget.ES2023, // turns `await using` into what Node 20 knows
  module: ts.ModuleKind.ESNext,
  inlineSourceMap: true,
};

export async function load(url, context, nextLoad) {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return nextLoad(url, context);
  const text = await readFile(new URL(url), "utf8");
  const { outputText } = ts.transpileModule(text, { compilerOptions, fileName: url });
  return { format: "module", source: outputText, shortCircuit: true };
}
