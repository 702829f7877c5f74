import { MediaError, OptionError } from "../errors.ts";
import type { OnProgress } from "../progress.ts";
import type { RGBImage } from "./image.ts";
import { sampleFrames } from "./sample-frames.ts";
import { type DecodeOptions, decodeWithMediabunny } from "./video-decode.ts";
import { type Clip, openClip } from "./video-demux.ts";
import {
  type ClipBytes,
  defaultVideoLimits,
  isNode,
  openClipBytes,
  type VideoLimits,
  type VideoSource,
} from "./video-source.ts";

export type { VideoLimits, VideoSource } from "./video-source.ts";

/** What decodes: the `ffmpeg` program or the package `@mediabunny/server` (Node), WebCodecs (browsers). */
export type VideoDecoderName = "auto" | "ffmpeg" | "mediabunny" | "webcodecs";

export interface LoadVideoOptions {
  /** How many frames to take, 1 to 512, spread evenly over the clip or the bound: see `sampleFrames`. */
  segments: number;
  /** Start and end in seconds; the whole clip when absent. */
  bound?: readonly [number, number] | null;
  signal?: AbortSignal;
  /** `download`: bytes of a URL. `load`: frames decoded. */
  onProgress?: OnProgress;
  /** `auto` takes WebCodecs in a browser; in Node ffmpeg, and `@mediabunny/server` where there is no ffmpeg. */
  decoder?: VideoDecoderName;
  limits?: Partial<VideoLimits>;
}

export interface VideoFrames {
  /** One picture a segment, as coded: rotation marks in the file are not applied. */
  frames: RGBImage[];
  /** For each picture its index among the frames that the clip shows, in the order shown. */
  indices: number[];
  /** Average frames a second, as libavformat and decord's `get_avg_fps` have it. */
  fps: number;
  frameCount: number;
  /** In seconds: `frameCount / fps`. */
  duration: number;
}

const MAX_SEGMENTS = 512;
/** What the frames of one clip may take together, as RGB. */
const MAX_FRAME_BYTES = 2 ** 31;

/**
 * Opens a clip (MP4, MOV, WebM, Matroska, MPEG-TS) and decodes the frames that the model is to see, to the RGB bytes that
 * ffmpeg gives. The n-th frame is the n-th that ffmpeg puts out: in presentation order, less what an edit list hides.
 *
 * @throws MediaError when the clip is damaged, too large, of another kind, or there is no decoder for it.
 * @throws FileError when the path is no file that can be read.
 * @throws OptionError when `segments`, `bound`, `decoder` or a limit is out of its range.
 */
export async function loadVideoFrames(source: VideoSource, options: LoadVideoOptions): Promise<VideoFrames> {
  const { segments, bound = null, signal, onProgress } = options;
  if (!(Number.isInteger(segments) && segments >= 1 && segments <= MAX_SEGMENTS)) {
    throw new OptionError("segments", segments, `must be a whole number from 1 to ${MAX_SEGMENTS}`);
  }
  const decoder = resolveDecoder(options.decoder ?? "auto");
  signal?.throwIfAborted();

  const bytes = await openClipBytes(source, { limits: resolveLimits(options.limits), signal, onProgress });
  try {
    const clip = await openClip(bytes, signal);
    try {
      const { fps, timestamps } = clip;
      const frameCount = timestamps.length;
      const indices = sampleFrames({ bound, fps, lastFrame: frameCount - 1, segments });
      if (indices.some((index) => index >= frameCount)) {
        const length = (frameCount / fps).toFixed(2);
        throw new OptionError("bound", bound, `starts after the end of the clip, which is ${length} s long`);
      }
      const distinct = [...new Set(indices)].sort((a, b) => a - b);
      const decoded = await decode(decoder, clip, distinct, {
        signal,
        maxBytes: MAX_FRAME_BYTES,
        timeoutMs: decodingTimeout(distinct),
        onFrame: (loaded) =>
          onProgress?.({ phase: "load", file: bytes.name, loaded, total: distinct.length }),
      });
      const byIndex = new Map(distinct.map((index, i) => [index, decoded[i]]));
      const frames = indices.map((index) => byIndex.get(index)!);
      return { frames, indices, fps, frameCount, duration: fps > 0 ? frameCount / fps : 0 };
    } finally {
      clip.dispose();
    }
  } finally {
    await bytes.close();
  }
}

/** A minute, and a fifth of a second for each frame on the way to the last one wanted: 4K on one slow core. */
function decodingTimeout(indices: number[]): number {
  return Math.min(60_000 + 200 * indices[indices.length - 1], 2 ** 31 - 1);
}

async function decode(
  decoder: Exclude<VideoDecoderName, "auto"> | "node",
  clip: Clip,
  indices: number[],
  options: DecodeOptions,
): Promise<RGBImage[]> {
  const size = indices.length * clip.width * clip.height * 3;
  if (size > MAX_FRAME_BYTES) {
    const problem = `${indices.length} frames of ${clip.width}x${clip.height} need ${size} bytes`;
    throw new MediaError(clip.bytes.name, `${problem}, more than ${MAX_FRAME_BYTES}; ask for fewer segments`);
  }
  if (decoder === "webcodecs") return decodeWithMediabunny(clip, indices, options);
  if (decoder !== "mediabunny") {
    const { decodeWithFfmpeg } = await import("./video-ffmpeg.node.ts");
    const frames = await decodeWithFfmpeg(clip, indices, options);
    if (frames !== undefined) return frames;
    if (decoder === "ffmpeg") throw noDecoder(clip.bytes, "there is no ffmpeg on the PATH");
  }
  const { registerServerDecoders } = await import("./video-server.node.ts");
  if (await registerServerDecoders()) return decodeWithMediabunny(clip, indices, options);
  const problem = "there is no video decoder here";
  throw noDecoder(clip.bytes, decoder === "node" ? problem : "@mediabunny/server is not installed");
}

function noDecoder(bytes: ClipBytes, problem: string): MediaError {
  const remedy = "install ffmpeg and put it on the PATH, or run: npm i @mediabunny/server";
  return new MediaError(bytes.name, `${problem}; either ${remedy}`);
}

function resolveDecoder(decoder: VideoDecoderName): Exclude<VideoDecoderName, "auto"> | "node" {
  const hasWebCodecs = typeof VideoDecoder !== "undefined";
  switch (decoder) {
    case "auto":
      if (isNode()) return "node";
      if (hasWebCodecs) return "webcodecs";
      throw new OptionError(
        "decoder",
        decoder,
        "this browser has no WebCodecs; take a newer one, or give frames",
      );
    case "webcodecs":
      if (hasWebCodecs) return decoder;
      throw new OptionError("decoder", decoder, "WebCodecs is not here; in Node use ffmpeg or mediabunny");
    case "ffmpeg":
    case "mediabunny":
      if (isNode()) return decoder;
      throw new OptionError("decoder", decoder, "works in Node only; in a browser use webcodecs");
    default:
      throw new OptionError("decoder", decoder, "must be auto, ffmpeg, mediabunny or webcodecs");
  }
}

function resolveLimits(limits: Partial<VideoLimits> = {}): VideoLimits {
  const resolved = { ...defaultVideoLimits };
  for (const name of ["maxFileBytes", "maxMemoryBytes"] as const) {
    const value = limits[name];
    if (value === undefined) continue;
    if (!(Number.isSafeInteger(value) && value > 0)) {
      throw new OptionError(`limits.${name}`, value, "must be a whole number above 0");
    }
    resolved[name] = value;
  }
  return resolved;
}
