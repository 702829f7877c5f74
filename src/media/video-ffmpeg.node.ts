import { spawn } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MediaError } from "../errors.ts";
import type { RGBImage } from "./image.ts";
import type { DecodeOptions } from "./video-decode.ts";
import type { Clip } from "./video-demux.ts";
import type { ClipBytes } from "./video-source.ts";
import { packedPlanes, packedSize, type YUVMatrix, yuv420ToRGB } from "./yuv.ts";

/**
 * Decodes the frames `indices` (ascending, no doubles) with the `ffmpeg` on the PATH. Returns undefined when there is none.
 *
 * 8-bit 4:2:0 of even height comes as YUV and is converted here, so that every machine gets the bytes of ffmpeg on x86;
 * ffmpeg itself converts all else.
 *
 * @throws MediaError when ffmpeg fails, gives fewer frames than asked for, or takes too long.
 */
export async function decodeWithFfmpeg(
  clip: Clip,
  indices: number[],
  options: DecodeOptions,
): Promise<RGBImage[] | undefined> {
  const file = await fileOf(clip.bytes);
  try {
    const native = await runFfmpeg(file.path, clip, indices, undefined, options);
    if (native === undefined) return undefined;
    const matrices = native.shown.map((frame) => ownMatrix(frame));
    if (matrices.every((matrix) => matrix !== undefined)) {
      return cut(clip, native, ({ width, height }) => packedSize(width, height)).map((data, i) => {
        const { width, height, fullRange } = native.shown[i];
        return yuv420ToRGB({
          width,
          height,
          ...packedPlanes(data, width, height),
          matrix: matrices[i],
          fullRange,
        });
      });
    }
    const converted = await runFfmpeg(file.path, clip, indices, "rgb24", options);
    if (converted === undefined) return undefined;
    return cut(clip, converted, ({ width, height }) => width * height * 3).map((data, i) => {
      const { width, height } = converted.shown[i];
      return { width, height, data: new Uint8Array(data) };
    });
  } finally {
    await file.remove();
  }
}

/** What ffmpeg's `showinfo` filter says of a frame. */
interface ShownFrame {
  width: number;
  height: number;
  pixelFormat: string;
  colorSpace: string;
  fullRange: boolean;
}

const ownMatrices: Record<string, YUVMatrix> = {
  unknown: "bt601",
  bt470bg: "bt601",
  smpte170m: "bt601",
  bt709: "bt709",
  fcc: "fcc",
  smpte240m: "smpte240m",
  bt2020nc: "bt2020",
  bt2020c: "bt2020",
};

/** The matrix to convert with here, or undefined when the frame is of a kind that ffmpeg must convert. */
function ownMatrix({ pixelFormat, height, colorSpace }: ShownFrame): YUVMatrix | undefined {
  const isOurs = (pixelFormat === "yuv420p" || pixelFormat === "yuvj420p") && height % 2 === 0;
  return isOurs ? ownMatrices[colorSpace] : undefined;
}

interface Output {
  shown: ShownFrame[];
  pixels: Buffer;
}

function cut(clip: Clip, { shown, pixels }: Output, sizeOf: (frame: ShownFrame) => number): Uint8Array[] {
  let at = 0;
  const parts = shown.map((frame) => {
    const start = at;
    at += sizeOf(frame);
    return pixels.subarray(start, at);
  });
  if (at === pixels.length) return parts;
  throw new MediaError(
    clip.bytes.name,
    `ffmpeg wrote ${pixels.length} bytes of pictures where ${at} were due`,
  );
}

/** ffmpeg before 5.1 knows neither `-fps_mode` nor, before 4.4, `-autoscale`. */
type Dialect = "current" | "old";

function argumentsFor(path: string, clip: Clip, indices: number[], dialect: Dialect): string[] {
  const wanted = anyOf(indices);
  // Every selected frame goes out once, whatever its time, and in the size it has.
  const asSelected =
    dialect === "current" ? ["-fps_mode", "passthrough", "-autoscale", "0"] : ["-vsync", "0"];
  return [
    ...["-nostdin", "-hide_banner", "-nostats", "-loglevel", "info"],
    // The container is known by now: naming it, and files only, keeps a crafted clip from opening anything else.
    ...["-protocol_whitelist", "file", "-f", clip.container, "-noautorotate", "-i", `file:${path}`],
    ...["-map", `0:V:${clip.track.number - 1}`, "-vf", `select='${wanted}',showinfo`, ...asSelected],
    ...["-frames:v", String(indices.length), "-c:v", "rawvideo", "-f", "rawvideo"],
  ];
}

/** An ffmpeg expression that is not 0 for these frames: a balanced tree, as ffmpeg refuses expressions deeper than 100. */
function anyOf(indices: number[]): string {
  if (indices.length === 1) return `eq(n,${indices[0]})`;
  const half = indices.length >> 1;
  return `(${anyOf(indices.slice(0, half))}+${anyOf(indices.slice(half))})`;
}

async function runFfmpeg(
  path: string,
  clip: Clip,
  indices: number[],
  pixelFormat: string | undefined,
  options: DecodeOptions,
): Promise<Output | undefined> {
  for (const dialect of ["current", "old"] as const) {
    const output = [...(pixelFormat === undefined ? [] : ["-pix_fmt", pixelFormat]), "pipe:1"];
    const args = [...argumentsFor(path, clip, indices, dialect), ...output];
    const result = await runOnce(args, clip, indices.length, options);
    if (result === "no ffmpeg") return undefined;
    if (result !== "unknown option") return result;
  }
  throw new MediaError(clip.bytes.name, "the ffmpeg on the PATH is too old; install version 4 or later");
}

function runOnce(
  args: string[],
  clip: Clip,
  count: number,
  { signal, timeoutMs, maxBytes, onFrame }: DecodeOptions,
): Promise<Output | "no ffmpeg" | "unknown option"> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn("ffmpeg", args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, AV_LOG_FORCE_NOCOLOR: "1" },
      windowsHide: true,
    });
    let failure: unknown;
    const stop = (error: unknown) => {
      failure ??= error;
      child.kill("SIGKILL");
    };
    const fail = (problem: string) => stop(new MediaError(clip.bytes.name, problem));
    const onAbort = () => stop(signal?.reason);
    const onExit = () => child.kill("SIGKILL");
    signal?.addEventListener("abort", onAbort, { once: true });
    process.once("exit", onExit);
    const timer = setTimeout(
      () => fail(`ffmpeg did not finish in ${timeoutMs / 1000} s and was stopped`),
      timeoutMs,
    );

    const chunks: Buffer[] = [];
    let received = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      received += chunk.length;
      if (received > maxBytes) fail(`its frames need more than ${maxBytes} bytes; ask for fewer segments`);
      else chunks.push(chunk);
    });
    const log = new ShowinfoLog(onFrame);
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text: string) => log.write(text));

    let isMissing = false;
    child.on("error", (error: NodeJS.ErrnoException) => {
      isMissing = error.code === "ENOENT" || error.code === "EACCES";
      if (!isMissing)
        failure ??= new MediaError(clip.bytes.name, "ffmpeg could not be started", { cause: error });
    });
    // `close` comes last in every case, after the process is gone and its pipes are empty.
    child.on("close", (code, killedBy) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      process.removeListener("exit", onExit);
      if (failure !== undefined) return reject(failure);
      if (isMissing) return resolve("no ffmpeg");
      if (code !== 0 && /Unrecognized option/.test(log.lastLines())) return resolve("unknown option");
      if (code !== 0) {
        const how = code === null ? `was stopped by ${killedBy}` : `failed with code ${code}`;
        return reject(new MediaError(clip.bytes.name, `ffmpeg ${how}: ${log.lastLines()}`));
      }
      if (log.shown.length !== count) {
        const problem = `ffmpeg decoded ${log.shown.length} of the ${count} frames asked for; the file is damaged`;
        return reject(new MediaError(clip.bytes.name, problem));
      }
      resolve({ shown: log.shown, pixels: Buffer.concat(chunks) });
    });
  });
}

/** Reads ffmpeg's log as it comes: the frames that `showinfo` describes, and the last lines for an error message. */
class ShowinfoLog {
  readonly shown: ShownFrame[] = [];
  readonly #onFrame: DecodeOptions["onFrame"];
  readonly #tail: string[] = [];
  #partial = "";

  constructor(onFrame: DecodeOptions["onFrame"]) {
    this.#onFrame = onFrame;
  }

  write(text: string): void {
    const lines = (this.#partial + text).split(/\r?\n/);
    this.#partial = (lines.pop() ?? "").slice(-10_000);
    for (const line of lines) this.#readLine(line);
  }

  lastLines(): string {
    return [...this.#tail, this.#partial].join(" ").trim().slice(-600);
  }

  #readLine(line: string): void {
    const text = /^\[Parsed_showinfo_\d+ @ \w+\] (.*)$/.exec(line)?.[1];
    if (text === undefined) {
      if (/^\s*Last message repeated/.test(line)) return;
      this.#tail.push(line.trim());
      if (this.#tail.length > 5) this.#tail.shift();
      return;
    }
    const frame = /^n: *\d+ .*\bfmt:(\w+) .*\bs:(\d+)x(\d+) /.exec(text);
    if (frame !== null) {
      const [, pixelFormat, width, height] = frame;
      const isJpegRange = pixelFormat.startsWith("yuvj");
      this.shown.push({
        width: Number(width),
        height: Number(height),
        pixelFormat,
        colorSpace: "unknown",
        fullRange: isJpegRange,
      });
      this.#onFrame?.(this.shown.length);
    }
    const color = /^color_range:(\S+) color_space:(\S+)/.exec(text);
    const last = this.shown.at(-1);
    if (color !== null && last !== undefined) {
      last.colorSpace = color[2];
      last.fullRange ||= color[1] === "pc";
    }
  }
}

/** The clip as a file that ffmpeg can seek in: its own, or a temporary copy of bytes in memory. */
async function fileOf(bytes: ClipBytes): Promise<{ path: string; remove(): Promise<void> }> {
  if (bytes.path !== undefined) return { path: bytes.path, remove: async () => {} };
  const folder = await mkdtemp(join(tmpdir(), "internvl-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const path = join(folder, "clip");
    const handle = await open(path, "wx", 0o600);
    const step = 8 * 1024 * 1024;
    try {
      for (let at = 0; at < bytes.size; at += step) {
        await handle.writeFile(await bytes.read(at, Math.min(at + step, bytes.size)));
      }
    } finally {
      await handle.close();
    }
    return { path, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
