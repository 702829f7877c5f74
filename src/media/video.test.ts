import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FileError, MediaError, OptionError } from "../errors.ts";
import { type LoadVideoOptions, loadVideoFrames, type VideoDecoderName } from "./video.ts";

// Made by ffmpeg: test/media/make.mjs.
const pathOf = (file: string) => fileURLToPath(new URL(`../../test/media/${file}`, import.meta.url));
const clips = JSON.parse(readFileSync(pathOf("clips.json"), "utf8")) as { file: string; frames: string[] }[];
const redPanda = fileURLToPath(new URL("../../../shared/data/red-panda.mp4", import.meta.url));
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const hasFfmpeg = spawnSync("ffmpeg", ["-version"]).status === 0;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "internvl-test-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Puts a program of ours on the PATH as `ffmpeg`, and nothing else. */
function fakeFfmpeg(script: string): void {
  writeFileSync(join(folder, "ffmpeg"), `#!${process.execPath}\n${script}`);
  chmodSync(join(folder, "ffmpeg"), 0o755);
  vi.stubEnv("PATH", folder);
}

/** Writes `frames` grey 64x48 pictures and the log lines that describe them. */
const greyFrames = (frames: number, format = "yuv420p", bytes = 4608) => `
  for (let n = 0; n < ${frames}; n++) {
    console.error("[Parsed_showinfo_1 @ 0x55d0] n:   " + n + " pts:  736 pts_time:0.046   fmt:${format} sar:0/1 s:64x48 i:P ");
    console.error("[Parsed_showinfo_1 @ 0x55d0] color_range:unknown color_space:unknown color_primaries:unknown");
  }
  require("node:fs").writeSync(1, Buffer.alloc(${frames} * ${bytes}, 128));
`;

const load = (
  options: Partial<LoadVideoOptions> = {},
  source: Parameters<typeof loadVideoFrames>[0] = pathOf("clip.mp4"),
) => loadVideoFrames(source, { segments: 4, ...options });

describe("loadVideoFrames", () => {
  it("says both ways to get a decoder when there is none", async () => {
    vi.stubEnv("PATH", folder);
    for (const decoder of ["auto", "ffmpeg", "mediabunny"] as VideoDecoderName[]) {
      const call = load({ decoder });
      await expect(call, decoder).rejects.toThrow(MediaError);
      await expect(call, decoder).rejects.toThrow(/install ffmpeg.*npm i @mediabunny\/server/);
    }
  });

  it("reads what ffmpeg writes", async () => {
    fakeFfmpeg(greyFrames(4));
    const progress: number[] = [];
    const { frames, ...clip } = await load({ onProgress: ({ loaded }) => progress.push(loaded) });
    expect(clip).toEqual({ indices: [2, 8, 14, 19], fps: 12, frameCount: 24, duration: 2 });
    expect(frames.map(({ width, height }) => [width, height])).toEqual(new Array(4).fill([64, 48]));
    // Luma 128 of 16..235 video: (112 << 3) * 9539 >> 16.
    expect(new Set(frames.flatMap(({ data }) => [...data]))).toEqual(new Set([130]));
    expect(progress).toEqual([1, 2, 3, 4]);
  });

  it("has ffmpeg convert what it does not convert itself", async () => {
    fakeFfmpeg(`
      if (process.argv.includes("rgb24")) { ${greyFrames(4, "yuv420p10le", 9216)} }
      else { ${greyFrames(4, "yuv420p10le")} }
    `);
    const { frames } = await load();
    expect(new Set(frames.flatMap(({ data }) => [...data]))).toEqual(new Set([128]));
  });

  it("speaks to an ffmpeg from before 5.1", async () => {
    fakeFfmpeg(`
      if (process.argv.includes("-fps_mode")) { console.error("Unrecognized option 'fps_mode'."); process.exit(1); }
      ${greyFrames(4)}
    `);
    expect((await load()).frames).toHaveLength(4);
  });

  it.each([
    ["fewer frames than asked for", greyFrames(3), /3 of the 4 frames/],
    ["fewer bytes than a frame has", greyFrames(4, "yuv420p", 4000), /bytes of pictures/],
    ["a failure", 'console.error("moov atom not found"); process.exit(3);', /code 3: moov atom not found/],
    ["a crash", "process.kill(process.pid, 'SIGSEGV'); setTimeout(() => {}, 1e6);", /SIGSEGV/],
  ])("reports %s", async (_, script, problem) => {
    fakeFfmpeg(script);
    const call = load();
    await expect(call).rejects.toThrow(MediaError);
    await expect(call).rejects.toThrow(problem);
  });

  it("stops ffmpeg when cancelled, and removes what it wrote", async () => {
    const pidFile = join(folder, "pid");
    fakeFfmpeg(
      `require("node:fs").writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setTimeout(() => {}, 1e6);`,
    );
    vi.stubEnv("TMPDIR", folder);
    const cancel = new AbortController();
    // Bytes in memory: ffmpeg gets them as a temporary file.
    const call = load({ signal: cancel.signal }, readFileSync(pathOf("clip.mp4")));
    await vi.waitFor(() => expect(readFileSync(pidFile, "utf8")).not.toBe(""), { timeout: 20_000 });
    expect(readdirSync(folder).some((name) => name.startsWith("internvl-"))).toBe(true);
    cancel.abort();
    await expect(call).rejects.toThrow("aborted");
    expect(() => process.kill(Number(readFileSync(pidFile, "utf8")), 0)).toThrow("ESRCH");
    expect(readdirSync(folder).some((name) => name.startsWith("internvl-"))).toBe(false);
    await expect(load({ signal: AbortSignal.abort() })).rejects.toThrow("aborted");
  });

  it("takes a path, a file URL, bytes, a Blob and a web address", async () => {
    fakeFfmpeg(greyFrames(4));
    const bytes = new Uint8Array(readFileSync(pathOf("clip.mp4")));
    const server = createServer((request, response) => {
      if (request.url === "/clip.mp4") response.end(bytes);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const sources = [
        pathOf("clip.mp4"),
        new URL("../../test/media/clip.mp4", import.meta.url),
        bytes,
        bytes.buffer,
        new Blob([bytes]),
        `${address}/clip.mp4`,
      ];
      for (const source of sources) expect((await load({}, source)).frameCount).toBe(24);
      await expect(load({}, `${address}/gone.mp4`)).rejects.toThrow(/404/);
      const limits = { maxMemoryBytes: 1000 };
      await expect(load({ limits }, `${address}/clip.mp4`)).rejects.toThrow(/maxMemoryBytes/);
      await expect(load({ limits }, bytes)).rejects.toThrow(/maxMemoryBytes/);
      await expect(load({ limits: { maxFileBytes: 1000 } })).rejects.toThrow(/maxFileBytes/);
    } finally {
      server.close();
    }
    await expect(load({}, `${address}/clip.mp4`)).rejects.toThrow(/could not be fetched/);
  });

  it("refuses what is no file, no clip or no source", async () => {
    await expect(load({}, join(folder, "none.mp4"))).rejects.toThrow(FileError);
    await expect(load({}, folder)).rejects.toThrow(FileError);
    await expect(load({}, new Uint8Array())).rejects.toThrow(/is empty/);
    await expect(load({}, pathOf("audio-only.mp4"))).rejects.toThrow(MediaError);
    await expect(load({}, 7 as unknown as string)).rejects.toThrow(OptionError);
  });

  it.each([
    ["segments", { segments: 0 }],
    ["segments", { segments: 513 }],
    ["segments", { segments: 1.5 }],
    ["decoder", { decoder: "gpu" as VideoDecoderName }],
    ["decoder", { decoder: "webcodecs" as VideoDecoderName }],
    ["bound", { bound: [2, 1] as [number, number] }],
    ["bound", { bound: [100, 200] as [number, number] }],
    ["limits.maxFileBytes", { limits: { maxFileBytes: -1 } }],
  ])("refuses a bad %s: %o", async (option, options) => {
    await expect(load(options)).rejects.toThrow(OptionError);
    await expect(load(options)).rejects.toThrow(new RegExp(`^${option}:`));
  });
});

describe.skipIf(!hasFfmpeg)("loadVideoFrames with ffmpeg", () => {
  it.each(clips)("gives ffmpeg's bytes for every frame of $file", async ({ file, frames }) => {
    const clip = await load({ segments: frames.length * 2 }, pathOf(file));
    expect(clip.frameCount).toBe(frames.length);
    expect(new Set(clip.indices).size).toBe(frames.length);
    expect(clip.frames.map(({ data }) => sha256(data))).toEqual(clip.indices.map((index) => frames[index]));
    // No two frames are alike, so one index off would be seen.
    expect(clip.frames.map(({ data }) => sha256(data))).not.toEqual(
      clip.indices.map((index) => frames[(index + 1) % frames.length]),
    );
  });

  it("survives damaged bytes: a result or a MediaError", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const whole = new Uint8Array(readFileSync(pathOf("clip.mp4")));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 200 }),
        async (changes) => {
          const bytes = whole.slice();
          for (const [at, value] of changes) bytes[at] = value;
          try {
            expect((await load({}, bytes)).frames).toHaveLength(4);
          } catch (error) {
            expect(error).toBeInstanceOf(MediaError);
          }
        },
      ),
      { numRuns: 8 },
    );
  });

  it.skipIf(!existsSync(redPanda))("gives ffmpeg's bytes for a clip of 895 frames", async () => {
    const clip = await load({ segments: 8 }, redPanda);
    expect(clip.indices).toEqual([55, 167, 279, 390, 502, 614, 725, 837]);
    expect(clip.frameCount).toBe(895);
    expect(clip.fps).toBe(895000 / 29833);
    const wanted = clip.indices.map((index) => `eq(n,${index})`).join("+");
    const args = ["-v", "error", "-noautorotate", "-i", redPanda, "-vf", `select='${wanted}'`, "-vsync", "0"];
    const rgb = execFileSync("ffmpeg", [...args, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], {
      maxBuffer: 2 ** 30,
    });
    expect(sha256(Buffer.concat(clip.frames.map(({ data }) => data)))).toBe(sha256(rgb));
  });
});
