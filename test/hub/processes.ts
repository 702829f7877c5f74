/** `pull` in a process of its own, from sources compiled to a temporary folder: Node 20 does not run TypeScript. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const sources = fileURLToPath(new URL("../../src/", import.meta.url));

export class CompiledHub {
  readonly folder = mkdtempSync(join(tmpdir(), "internvl-compiled-"));

  constructor() {
    const room = readdirSync(join(sources, "checkpoint/hub")).map((name) => `checkpoint/hub/${name}`);
    for (const name of ["errors.ts", "progress.ts", ...room]) {
      if (!name.endsWith(".test.ts")) this.#compile(name);
    }
    writeFileSync(join(this.folder, "package.json"), '{"type":"module"}');
    const run = [
      'import { pull } from "./checkpoint/hub/pull.node.js";',
      "const onProgress = ({ loaded }) => console.log(loaded);",
      "await pull(process.argv[2], { ...JSON.parse(process.argv[3]), onProgress });",
    ];
    writeFileSync(join(this.folder, "run.js"), run.join("\n"));
  }

  /** Starts `pull`; its progress (bytes loaded, a line each) is the child's output. */
  start(repository: string, options: object): { child: ChildProcess; done: Promise<number | null> } {
    const run = join(this.folder, "run.js");
    const child = spawn(process.execPath, [run, repository, JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    return { child, done: new Promise((resolve) => child.on("exit", resolve)) };
  }

  end(): void {
    rmSync(this.folder, { recursive: true });
  }

  #compile(name: string): void {
    const { outputText } = ts.transpileModule(readFileSync(join(sources, name), "utf8"), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ESNext,
        verbatimModuleSyntax: true,
        rewriteRelativeImportExtensions: true,
      },
    });
    const path = join(this.folder, name.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, outputText);
  }
}
