import { spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { availableParallelism, cpus, homedir, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { openMachine } from "../backend/cpu/open-machine.ts";
import { describeDevice } from "../backend/webgpu/describe-device.ts";
import { openDevice } from "../backend/webgpu/device.ts";
import { type BackendOptions, chooseBackend } from "../chat/choose-backend.ts";
import { loadDescription } from "../checkpoint/checkpoint.ts";
import { openFolder } from "../checkpoint/folder.node.ts";
import { readHubEnvironment } from "../checkpoint/hub/environment.ts";
import { InternVLError } from "../errors.ts";
import { registerServerDecoders } from "../media/video-server.node.ts";
import { cachedRepositories } from "./local-checkpoint.ts";
import type { CommonFlags } from "./program.ts";
import { bytesText, table, writeJson, writeLine } from "./text.ts";
import { messageOf } from "./usage.ts";
import type { World } from "./world.ts";

/** `internvl doctor`: what this machine has. */
export async function doctor(flags: CommonFlags, world: World): Promise<undefined> {
  const findings = await examine(world);
  if (flags.json) writeJson(world.stdout, findings);
  else writeLine(world.stdout, describe(findings));
}

type Findings = Awaited<ReturnType<typeof examine>>;

async function examine({ env, interrupts }: World) {
  const graphics = await openGraphics().catch(() => undefined);
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    processor: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    devices: {
      auto: await attempt(() => deviceOf("auto")),
      webgpu: await attempt(async () => (graphics ?? (await openGraphics())).adapter),
      cpu: await attempt(kernels),
      reference: await attempt(() => deviceOf("reference")),
    },
    webgpu: graphics ?? null,
    packages: {
      koffi: await attempt(async () => (await import("koffi")).default.version),
      sharp: await attempt(async () => (await import("sharp")).default.versions.sharp ?? "yes"),
      "@mediabunny/server": await attempt(async () => {
        if (await registerServerDecoders()) return "yes";
        throw new Error("not installed");
      }),
    },
    memoryMapping: await mapsFiles(),
    ffmpeg: await ffmpegVersion(env, interrupts.signal),
    hub: await examineHub(env),
  };
}

/** The name of the device that is taken. @throws DeviceError where it is not to be had */
async function deviceOf(device: NonNullable<BackendOptions["device"]>): Promise<string> {
  await using backend = await chooseBackend({ device });
  return backend.name;
}

/** The WebGPU adapter, and what was found of it. @throws DeviceError where there is none */
async function openGraphics() {
  const device = await openDevice();
  try {
    return await describeDevice(device);
  } finally {
    device.destroy();
  }
}

/** Which kernels "cpu" runs, and why these. @throws DeviceError, OptionError as `chooseBackend` does */
async function kernels(): Promise<string> {
  const opened = await openMachine();
  if ("absent" in opened) throw new Error(opened.absent);
  const { machine, why } = opened;
  await machine.dispose();
  const threads = machine.lanes === 1 ? "1 thread" : `${machine.lanes} threads`;
  const notes = [threads, why, machine.note].filter(Boolean).join("; ");
  return `${machine.kind} ${machine.variant} (${notes})`;
}

/** Whether something optional works, and which version or why not. */
type Attempt = { works: true; version: string } | { works: false; problem: string };

async function attempt(load: () => Promise<string>): Promise<Attempt> {
  try {
    return { works: true, version: await load() };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const problem = code === "ERR_MODULE_NOT_FOUND" ? "not installed" : message.split("\n")[0];
    return { works: false, problem };
  }
}

/** Maps a file of this package, and reads it. */
async function mapsFiles(): Promise<boolean> {
  const files = await openFolder(fileURLToPath(new URL("../..", import.meta.url)), { mapFrom: 1 });
  try {
    const bytes = await files.read("package.json");
    return files.mapped && bytes[0] === "{".charCodeAt(0);
  } finally {
    await files.close();
  }
}

async function ffmpegVersion(env: World["env"], signal: AbortSignal): Promise<Attempt> {
  return attempt(
    () =>
      new Promise((resolve, reject) => {
        const child = spawn("ffmpeg", ["-version"], {
          env: { ...env },
          signal,
          stdio: ["ignore", "pipe", "ignore"],
          timeout: 10_000,
        });
        let text = "";
        child.stdout.on("data", (part) => {
          text += part;
        });
        child.on("error", (error: NodeJS.ErrnoException) => {
          reject(error.code === "ENOENT" ? new Error("not on the PATH") : error);
        });
        child.on("close", (exitCode) => {
          const version = /^ffmpeg version (\S+)/.exec(text)?.[1];
          if (version === undefined) reject(new Error(`it ended with code ${exitCode}`));
          else resolve(version);
        });
      }),
  );
}

/** What `readHubEnvironment` reads, and this command's own. */
const variables = [
  "INTERNVL_MODEL",
  "HF_HOME",
  "HF_HUB_CACHE",
  "HUGGINGFACE_HUB_CACHE",
  "XDG_CACHE_HOME",
  "HF_ENDPOINT",
  "HF_HUB_OFFLINE",
  "TRANSFORMERS_OFFLINE",
  "HF_HUB_DISABLE_SYMLINKS",
  "HF_HUB_DISABLE_IMPLICIT_TOKEN",
  "HF_HUB_DOWNLOAD_TIMEOUT",
  "HF_TOKEN_PATH",
] as const;

async function examineHub(env: World["env"]) {
  const set = Object.fromEntries(
    variables.flatMap((name) => (env[name] ? [[name, withoutPassword(env[name])]] : [])),
  );
  try {
    const { cacheFolder, endpoint, token, tokenPath, offline, symlinks } = readHubEnvironment(env, homedir());
    const fromFile = token === undefined && tokenPath !== undefined && (await isFile(tokenPath));
    return {
      cacheFolder,
      endpoint: withoutPassword(endpoint),
      // Never the token itself.
      token: token !== undefined ? "set in the environment" : fromFile ? `in ${tokenPath}` : "none",
      offline,
      variables: set,
      checkpoints: await checkpointsIn(cacheFolder, symlinks),
    };
  } catch (error) {
    if (!(error instanceof InternVLError)) throw error;
    return { problem: messageOf(error), variables: set };
  }
}

/** The checkpoints of the family in the cache. Other models' are nobody's business here. */
async function checkpointsIn(cacheFolder: string, symlinks: boolean) {
  const found: { repository: string; revision: string; complete: boolean; folder?: string }[] = [];
  for (const { repository, revision, snapshot } of await cachedRepositories(cacheFolder, symlinks)) {
    if (snapshot && (await isOfTheFamily(snapshot.folder))) {
      found.push({ repository, revision, complete: true, folder: snapshot.folder });
    } else if (!snapshot && /internvl/i.test(repository)) {
      found.push({ repository, revision, complete: false });
    }
  }
  return found;
}

async function isOfTheFamily(folder: string): Promise<boolean> {
  const files = await openFolder(folder);
  try {
    await loadDescription(files);
    return true;
  } catch (error) {
    if (error instanceof InternVLError) return false;
    throw error;
  } finally {
    await files.close();
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/@]*@/, "//");
}

function describe(findings: Findings): string {
  const { packages, devices, hub } = findings;
  const rows: [string, string][] = [
    ["node", findings.node],
    ["platform", findings.platform],
    ["processor", `${findings.processor}, ${findings.cores} cores`],
    ["memory", bytesText(findings.memoryBytes)],
    ["device auto", attemptText(devices.auto)],
    ["device webgpu", attemptText(devices.webgpu)],
    ...webgpuRows(findings.webgpu),
    ["device cpu", attemptText(devices.cpu)],
    ...Object.entries(packages).map(([name, found]): [string, string] => [name, attemptText(found)]),
    ["memory mapping", findings.memoryMapping ? "works" : "does not work; weights are read into memory"],
    ["ffmpeg", attemptText(findings.ffmpeg)],
  ];
  if (hub.problem !== undefined) rows.push(["hub", hub.problem]);
  else {
    rows.push(
      ["hub cache", hub.cacheFolder],
      ["hub endpoint", hub.endpoint + (hub.offline ? " (offline)" : "")],
      ["hub token", hub.token],
    );
  }
  for (const [name, value] of Object.entries(hub.variables)) rows.push([name, value]);
  for (const { repository, revision, complete } of hub.checkpoints ?? []) {
    rows.push([
      "checkpoint",
      `${repository} ${revision}${complete ? "" : ", incomplete: internvl pull goes on"}`,
    ]);
  }
  if (hub.checkpoints?.length === 0) rows.push(["checkpoint", "none in the cache; internvl pull brings one"]);
  return table(rows);
}

function webgpuRows(webgpu: Findings["webgpu"]): [string, string][] {
  if (!webgpu) return [];
  const { driver, software, features, off, limits, variants } = webgpu;
  return [
    ["  driver", driver + (software ? "; computes in software: right, and slow" : "")],
    ["  features", features.join(", ") || "none beyond the standard's"],
    ...off.map(({ feature, why }): [string, string] => [`  no ${feature}`, why]),
    [
      "  buffers",
      `${bytesText(limits.maxBufferSize)}, seen at once ${bytesText(limits.maxStorageBufferBindingSize)}`,
    ],
    ["  workgroup memory", bytesText(limits.maxComputeWorkgroupStorageSize)],
    ...Object.entries(variants).map(([name, variant]): [string, string] => [`  ${name}`, variant]),
  ];
}

function attemptText(found: Attempt): string {
  return found.works ? found.version : `no: ${found.problem}`;
}
