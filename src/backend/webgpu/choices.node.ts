import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { readHubEnvironment } from "../../checkpoint/hub/environment.ts";
import type { KeptFindings } from "./choices.ts";

type Contents = Record<string, KeptFindings>;

/** Beside the hub's cache: which kernels were found fastest on which adapter. */
function path(): string {
  const { cacheFolder } = readHubEnvironment(process.env, homedir());
  return join(dirname(cacheFolder), "internvl", "webgpu-kernels.json");
}

export async function read(adapter: string): Promise<KeptFindings> {
  return (await contents())[adapter] ?? {};
}

/** What can not be written is found again next time. */
export async function write(adapter: string, findings: KeptFindings): Promise<void> {
  const file = path();
  const all = await contents();
  const text = `${JSON.stringify({ ...all, [adapter]: { ...all[adapter], ...findings } }, null, 1)}\n`;
  const partial = `${file}.${process.pid}`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(partial, text);
    await rename(partial, file);
  } catch {}
}

/** Of a file that is not there, or not ours: nothing. */
async function contents(): Promise<Contents> {
  try {
    const read: unknown = JSON.parse(await readFile(path(), "utf8"));
    return typeof read === "object" && read !== null ? (read as Contents) : {};
  } catch {
    return {};
  }
}
