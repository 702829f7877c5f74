import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

export const root = join(import.meta.dirname, "..");

/** Tests of the built package mean nothing when it is not what the sources say. */
export async function requireBuild(): Promise<void> {
  const script = 'import { isBuilt } from "./scripts/ready.mjs"; process.exit(isBuilt() ? 0 : 1)';
  await runNode(["--input-type=module", "--eval", script]).catch(() => {
    throw new Error("dist is not there, or older than src: npm run build, or npm test, which does it");
  });
}

/** Runs Node in the repository; resolves to what it printed, rejects when it ends with an error. */
export async function runNode(words: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, words, { cwd: root, maxBuffer: 1e8 });
}
