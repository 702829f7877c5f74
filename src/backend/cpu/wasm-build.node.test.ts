import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const cpu = "src/backend/cpu";

/** `node scripts/build-wasm.mjs --check` in a folder: what it says, or why it fails. */
async function check(folder: string): Promise<string> {
  const script = join(folder, "scripts/build-wasm.mjs");
  const { stderr } = await promisify(execFile)(process.execPath, [script, "--check"]);
  return stderr;
}

describe("the committed WebAssembly", () => {
  let said: string;

  it("is what the sources give, byte for byte where there is its compiler", async () => {
    said = await check(root);
    expect(said).toMatch(/as committed|sources are those it was built from/);
  });

  it("the check notices a changed source, and a changed byte", async () => {
    const folder = mkdtempSync(join(tmpdir(), "internvl-build-"));
    try {
      cpSync(join(root, "scripts"), join(folder, "scripts"), { recursive: true });
      for (const part of ["native", "wasm"]) {
        cpSync(join(root, cpu, part), join(folder, cpu, part), { recursive: true });
      }
      const source = join(folder, cpu, "native/norms.c");
      const text = readFileSync(source, "utf8");
      writeFileSync(source, text.replace("1 / sqrtf", "2 / sqrtf"));
      await expect(check(folder)).rejects.toThrow("run npm run build:wasm");
      writeFileSync(source, text);
      // Without the compiler nobody can tell.
      if (!said.includes("as committed")) return;
      const module = join(folder, cpu, "wasm/internvl.wasm");
      const bytes = readFileSync(module);
      bytes[bytes.length - 5] ^= 1;
      writeFileSync(module, bytes);
      await expect(check(folder)).rejects.toThrow("run npm run build:wasm");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
