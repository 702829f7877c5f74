import type { VideoSample, VideoSampleSink } from "mediabunny";
import { MediaError } from "../errors.ts";
import type { RGBImage } from "./image.ts";
import type { Clip } from "./video-demux.ts";
import { type Plane, type YUV420Frame, type YUVMatrix, yuv420ToRGB } from "./yuv.ts";

export interface DecodeOptions {
  signal?: AbortSignal;
  /** A decoder that has not finished by then is stopped. */
  timeoutMs: number;
  /** What the decoded frames together may take. */
  maxBytes: number;
  /** Called with the number of frames decoded so far. */
  onFrame?: (decoded: number) => void;
}

/**
 * Decodes the frames `indices` (ascending, no doubles) with WebCodecs, or with the decoder that `@mediabunny/server` has
 * registered in its place. Takes the YUV planes as the decoder gives them: a browser's own RGB differs from ffmpeg's.
 *
 * @throws MediaError when the codec or the pixel format is not supported, a frame does not come, or time runs out.
 */
export async function decodeWithMediabunny(
  clip: Clip,
  indices: number[],
  options: DecodeOptions,
): Promise<RGBImage[]> {
  const { VideoSampleSink } = await import("mediabunny");
  const { track, bytes } = clip;
  if (!(await track.canDecode())) {
    const codec = (await track.getCodecParameterString()) ?? (await track.getInternalCodecId());
    throw new MediaError(
      bytes.name,
      `there is no decoder here for ${codec}; convert it: ffmpeg -i in -c:v libx264 out.mp4`,
    );
  }
  const color = await colorOf(clip);
  const frames: RGBImage[] = [];
  // A software decoder hands out its planes; a hardware one may keep them on the GPU.
  const sink = new VideoSampleSink(track, { hardwareAcceleration: await bestAcceleration(clip) });
  settleBeforeClosing(sink);
  const samples: AsyncGenerator<VideoSample | null, void> = clip.hasHiddenFrames
    ? pickByCount(sink.samples(), indices)
    : sink.samplesAtTimestamps(indices.map((index) => clip.timestamps[index]));
  const deadline = new Deadline(options, bytes.name);
  try {
    for (const index of indices) {
      const { value: sample } = await deadline.race(samples.next());
      if (!sample || !(clip.hasHiddenFrames || isAt(sample, clip.timestamps[index]))) {
        sample?.close();
        throw new MediaError(bytes.name, `frame ${index} could not be decoded; the file is damaged`);
      }
      try {
        frames.push(yuv420ToRGB({ ...(await planesOf(sample, bytes.name)), ...color }));
      } finally {
        sample.close();
      }
      options.onFrame?.(frames.length);
    }
    return frames;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof MediaError) throw error;
    throw new MediaError(bytes.name, "could not be decoded; the file is damaged", { cause: error });
  } finally {
    deadline.clear();
    // Not awaited: a decoder that hangs would hang this too. The caller disposes of the clip, which ends it.
    samples.return().catch(() => {});
  }
}

const isAt = (sample: VideoSample, timestamp: number) => Math.abs(sample.timestamp - timestamp) <= 1e-4;

/** Browsers stamp the frame after a hidden one with the hidden one's time, and so on: then only the count can be trusted. */
async function* pickByCount(
  samples: AsyncGenerator<VideoSample, void>,
  indices: number[],
): AsyncGenerator<VideoSample, void> {
  let count = 0;
  let next = 0;
  for await (const sample of samples) {
    if (count++ !== indices[next]) {
      sample.close();
      continue;
    }
    yield sample;
    if (++next === indices.length) return;
  }
}

/** The parts of mediabunny's decoder that its types leave out. */
interface DecoderInside {
  customDecoderCallSerializer?: { currentPromise: Promise<void> };
  close(): void;
}

/**
 * mediabunny 1.61 queues a registered decoder's `close` behind its last call. When that call failed, the decoder is never
 * closed and the failure comes up a second time, as an unhandled rejection that would end a Node process. So the queue is
 * settled first.
 */
function settleBeforeClosing(sink: VideoSampleSink): void {
  const inside = sink as unknown as { _createDecoder?: (...args: unknown[]) => Promise<DecoderInside> };
  const createDecoder = inside._createDecoder?.bind(sink);
  if (createDecoder === undefined) return;
  inside._createDecoder = async (...args) => {
    const decoder = await createDecoder(...args);
    const close = decoder.close.bind(decoder);
    decoder.close = () => {
      const queue = decoder.customDecoderCallSerializer;
      if (queue !== undefined) queue.currentPromise = queue.currentPromise.catch(() => {});
      close();
    };
    return decoder;
  };
}

async function bestAcceleration(clip: Clip): Promise<HardwareAcceleration> {
  const config = await clip.track.getDecoderConfig();
  if (config === null || typeof VideoDecoder === "undefined") return "prefer-software";
  const software = { ...config, hardwareAcceleration: "prefer-software" as const };
  return (await VideoDecoder.isConfigSupported(software)).supported ? "prefer-software" : "no-preference";
}

/** From the file, not from the decoder: browsers call an untagged clip BT.709, where ffmpeg takes BT.601. */
async function colorOf(clip: Clip): Promise<{ matrix: YUVMatrix; fullRange: boolean }> {
  const { matrix, fullRange } = await clip.track.getColorSpace();
  const matrices: Record<string, YUVMatrix> = {
    bt470bg: "bt601",
    smpte170m: "bt601",
    bt709: "bt709",
    "bt2020-ncl": "bt2020",
  };
  const known = matrices[matrix ?? "smpte170m"];
  if (known === undefined) {
    throw new MediaError(
      clip.bytes.name,
      `its colours are coded as ${matrix}; convert it: ffmpeg -i in -pix_fmt yuv420p out.mp4`,
    );
  }
  return { matrix: known, fullRange: fullRange ?? false };
}

async function planesOf(
  sample: VideoSample,
  name: string,
): Promise<Omit<YUV420Frame, "matrix" | "fullRange">> {
  const { format } = sample;
  if (format !== "I420" && format !== "NV12") {
    const problem = `its frames are ${format ?? "of a format the decoder keeps to itself"}, not 8-bit 4:2:0`;
    throw new MediaError(name, `${problem}; convert it: ffmpeg -i in -pix_fmt yuv420p out.mp4`);
  }
  const data = new Uint8Array(sample.allocationSize());
  const layout = await sample.copyTo(data);
  const plane = (index: number, step: number, shift: number): Plane => ({
    data,
    offset: layout[index].offset + shift,
    stride: layout[index].stride,
    step,
  });
  const { width, height } = sample.visibleRect;
  // mediabunny 1.61 leaves out the last chroma column of frames that `@mediabunny/server` decodes to an odd width.
  if (format === "I420" && layout[1].stride < (width + 1) >> 1) {
    throw new MediaError(
      name,
      `its width, ${width}, is odd, and this decoder loses a column; install ffmpeg instead`,
    );
  }
  const chroma =
    format === "I420" ? { u: plane(1, 1, 0), v: plane(2, 1, 0) } : { u: plane(1, 2, 0), v: plane(1, 2, 1) };
  return { width, height, y: plane(0, 1, 0), ...chroma };
}

/** Ends a wait when the caller cancels or time is up, whether or not the decoder ever answers. */
class Deadline {
  readonly #end: Promise<never>;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #signal: AbortSignal | undefined;
  #onAbort = () => {};

  constructor({ signal, timeoutMs }: DecodeOptions, name: string) {
    this.#signal = signal;
    let reject: (reason: unknown) => void = () => {};
    this.#end = new Promise<never>((_, fail) => {
      reject = fail;
    });
    this.#end.catch(() => {});
    const problem = `the decoder did not finish in ${timeoutMs / 1000} s`;
    this.#timer = setTimeout(() => reject(new MediaError(name, problem)), timeoutMs);
    this.#onAbort = () => reject(signal?.reason);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted) this.#onAbort();
  }

  race<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#end]);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }
}
