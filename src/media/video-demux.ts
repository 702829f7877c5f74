import type { CustomSource, Input, InputVideoTrack } from "mediabunny";
import { MediaError } from "../errors.ts";
import type { ClipBytes } from "./video-source.ts";
import { MAX_FRAMES, readTrackTiming, type TrackTiming } from "./video-timing.ts";

/** An open clip: which frames it shows and when, before any of them is decoded. */
export interface Clip {
  bytes: ClipBytes;
  track: InputVideoTrack;
  /** ffmpeg's name for the container's demuxer. */
  container: "mov" | "matroska" | "mpegts";
  /** When each frame is shown, in the demuxer's seconds, in order: the n-th is the n-th that ffmpeg puts out. */
  timestamps: number[];
  /** True when packets without a picture of their own lie between the frames (VP8's alternate reference frames). */
  hasHiddenFrames: boolean;
  /** Average frames a second over the whole stream; 0 when the container does not say. */
  fps: number;
  /** Before rotation. */
  width: number;
  height: number;
  /** Frees the index and any decoder; `bytes` stays open. */
  dispose(): void;
}

/**
 * Reads the clip's index. Of MP4 and MOV only the index is read; of Matroska and MPEG-TS, which have none, the whole file.
 *
 * @throws MediaError when it is no MP4, MOV, WebM, Matroska or MPEG-TS, has no picture track or no frame, or is damaged.
 */
export async function openClip(bytes: ClipBytes, signal?: AbortSignal): Promise<Clip> {
  const { CustomSource, Input, MATROSKA, MP4, MPEG_TS, QTFF, WEBM } = await import("mediabunny");
  const source = new CustomSource({
    getSize: () => bytes.size,
    read: (start, end) => bytes.read(start, end),
    prefetchProfile: "fileSystem",
    handleUnhandledError: () => {},
  });
  stopEndlessReads(source, bytes.name);
  const input = new Input({
    // Named one by one: a playlist (HLS) could make the reader open other files.
    formats: [MP4, QTFF, MATROSKA, WEBM, MPEG_TS],
    source,
  });
  try {
    return await readClip(input, bytes, signal);
  } catch (error) {
    input.dispose();
    signal?.throwIfAborted();
    if (error instanceof MediaError) throw error;
    throw new MediaError(bytes.name, "its index cannot be read; the file is damaged", { cause: error });
  }
}

/**
 * mediabunny 1.61 searches damaged Matroska for the next element, and never ends when exactly 8 bytes are left: it reads
 * the same ones for ever, without a pause in which a timer could stop it. So the read itself stops it.
 */
function stopEndlessReads(source: CustomSource, name: string): void {
  const inside = source as unknown as { _read?: (...args: unknown[]) => unknown };
  const read = inside._read?.bind(source);
  if (read === undefined) return;
  let last: unknown[] = [];
  let repeats = 0;
  inside._read = (start, end, ...rest) => {
    repeats = start === last[0] && end === last[1] ? repeats + 1 : 0;
    last = [start, end];
    if (repeats > 10_000) throw new MediaError(name, "its elements lead nowhere; the file is damaged");
    return read(start, end, ...rest);
  };
}

async function readClip(input: Input, bytes: ClipBytes, signal?: AbortSignal): Promise<Clip> {
  if (!(await input.canRead())) throw new MediaError(bytes.name, await explainUnreadable(bytes));
  const track = await input.getPrimaryVideoTrack();
  if (track === null) {
    const problem =
      (await input.getTracks()).length === 0 ? "has no tracks; it is cut short" : "has sound but no pictures";
    throw new MediaError(bytes.name, `${problem}; give a whole clip with video in it`);
  }

  const container = await containerOf(input);
  const timing = container === "mov" ? await readTrackTiming(bytes, track.id) : undefined;
  const listed = await listPackets(track, bytes, signal);
  const packets = listed.filter((packet) => !packet.isHidden && isShown(packet, timing));
  if (packets.length === 0)
    throw new MediaError(bytes.name, "its video track has no frame; the file is damaged");
  packets.sort((a, b) => a.timestamp - b.timestamp);
  return {
    bytes,
    track,
    container,
    timestamps: packets.map((packet) => packet.timestamp),
    hasHiddenFrames: listed.some((packet) => packet.isHidden),
    fps: framesPerSecond(packets, timing, container),
    width: await track.getCodedWidth(),
    height: await track.getCodedHeight(),
    dispose: () => input.dispose(),
  };
}

interface PacketTime {
  timestamp: number;
  duration: number;
  isHidden: boolean;
}

async function listPackets(
  track: InputVideoTrack,
  bytes: ClipBytes,
  signal?: AbortSignal,
): Promise<PacketTime[]> {
  const { EncodedPacketSink } = await import("mediabunny");
  // A VP8 packet may hold a frame that is only decoded to predict others: its first byte says so.
  const isVP8 = (await track.getCodec()) === "vp8";
  const packets: PacketTime[] = [];
  const sink = new EncodedPacketSink(track);
  for await (const packet of sink.packets(undefined, undefined, { metadataOnly: !isVP8 })) {
    signal?.throwIfAborted();
    const isHidden = isVP8 && (packet.data[0] & 0x10) === 0;
    packets.push({ timestamp: packet.timestamp, duration: packet.duration, isHidden });
    if (packets.length > MAX_FRAMES) {
      throw new MediaError(bytes.name, `has more than ${MAX_FRAMES} frames; cut it into shorter clips`);
    }
  }
  return packets;
}

/** ffmpeg decodes what an edit list hides, but does not put it out. It leaves the edit lists of fragmented files alone. */
function isShown({ timestamp }: PacketTime, timing: TrackTiming | undefined): boolean {
  if (timing?.shown === undefined || timing.samples === 0) return true;
  const tick = Math.round(timestamp * timing.timescale);
  return tick >= timing.shown.from && tick < timing.shown.to;
}

/**
 * The stream's `avg_frame_rate` as libavformat has it, which decord's `get_avg_fps` returns: for MP4 and MOV all samples
 * over the sum of their durations, edits or not; elsewhere frames over time, moved to a standard rate within 1 %.
 */
function framesPerSecond(packets: PacketTime[], timing: TrackTiming | undefined, container: string): number {
  if (timing !== undefined && timing.ticks > 0) return (timing.timescale * timing.samples) / timing.ticks;
  const end = packets.reduce((latest, packet) => Math.max(latest, packet.timestamp + packet.duration), 0);
  const rate = packets.length / (end - packets[0].timestamp);
  if (!(rate > 0 && Number.isFinite(rate))) return 0;
  return container === "mov" ? rate : nearestStandardRate(rate);
}

/** Twelfths up to 30, whole rates to 60, 80, 120 and 240, and the 1000/1001 kinds of television (libavformat, `demux.c`). */
function nearestStandardRate(rate: number): number {
  let best = rate;
  let least = 0.01;
  const tryRate = (standard: number) => {
    const error = Math.abs(rate / standard - 1);
    if (error < least) {
      least = error;
      best = standard;
    }
  };
  for (let twelfths = 1; twelfths <= 360; twelfths++) tryRate(twelfths / 12);
  for (let whole = 31; whole <= 60; whole++) tryRate(whole);
  for (const whole of [80, 120, 240]) tryRate(whole);
  for (const whole of [24, 30, 60, 12, 15, 48]) tryRate((whole * 1000) / 1001);
  return best;
}

async function containerOf(input: Input): Promise<Clip["container"]> {
  const { IsobmffInputFormat, MatroskaInputFormat } = await import("mediabunny");
  const format = await input.getFormat();
  if (format instanceof IsobmffInputFormat) return "mov";
  return format instanceof MatroskaInputFormat ? "matroska" : "mpegts";
}

async function explainUnreadable(bytes: ClipBytes): Promise<string> {
  const head = new TextDecoder("latin1").decode(await bytes.read(0, Math.min(bytes.size, 256)));
  if (/^\s*<(!doctype|html|\?xml|head|body)/i.test(head)) {
    return "is a web page, not a video; check the address it was saved from";
  }
  return "is no MP4, MOV, WebM, Matroska or MPEG-TS, or is cut short; convert it: ffmpeg -i in -c copy out.mp4";
}
