import { readFileSync } from "node:fs";
import { CustomVideoDecoder, type EncodedPacket, registerDecoder, VideoSample } from "mediabunny";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { MediaError } from "../errors.ts";
import { decodeWithMediabunny } from "./video-decode.ts";
import { openClip } from "./video-demux.ts";
import { defaultVideoLimits, openClipBytes } from "./video-source.ts";

/** Stands in for a real decoder: each frame is one grey, ten times its place in the clip (12 frames a second). */
class GreyDecoder extends CustomVideoDecoder {
  static format: "I420" | "NV12" | "I444" | "stalled" | "broken" = "I420";
  static closed = 0;
  #hidden = 0;
  #shown = 0;
  #times: { timestamp: number; duration: number }[] = [];

  static override supports(): boolean {
    return true;
  }
  init(): void {}
  close(): void {
    GreyDecoder.closed++;
  }

  decode({ timestamp, duration, data }: EncodedPacket): void {
    if (GreyDecoder.format === "broken") throw new Error("not a picture");
    this.#times.push({ timestamp, duration });
    if (this.codec === "vp8" && (data[0] & 0x10) === 0) this.#hidden++;
  }

  // Decode order is not the order shown: hold the frames back until all are known.
  async flush(): Promise<void> {
    const { format } = GreyDecoder;
    if (format === "stalled" || format === "broken") return new Promise(() => {});
    this.#times.sort((a, b) => a.timestamp - b.timestamp);
    // As browsers do: a hidden frame gives no picture, and its time goes to the next picture.
    const shown = this.#times.slice(0, this.#times.length - this.#hidden);
    for (const time of shown) {
      const chroma = format === "I444" ? 64 * 48 * 2 : (64 * 48) / 2;
      const data = new Uint8Array(64 * 48 + chroma).fill(128);
      const place = this.codec === "vp8" ? this.#shown++ : Math.round(time.timestamp * 12);
      data.fill(10 * place, 0, 64 * 48);
      const sample = new VideoSample(data, { ...time, format, codedWidth: 64, codedHeight: 48 });
      this.onSample(sample);
    }
    this.#times = [];
    this.#hidden = 0;
  }
}

/** Luma 10 * index of 16..235 video as RGB, in ffmpeg's arithmetic. */
const greyOf = (index: number) => (((10 * index - 16) << 3) * 9539) >> 16;

const options = { timeoutMs: 10_000, maxBytes: 2 ** 30 };

async function openTestClip(file = "clip.mp4") {
  const bytes = new Uint8Array(readFileSync(new URL(`../../test/media/${file}`, import.meta.url)));
  return openClip(await openClipBytes(bytes, { limits: defaultVideoLimits }));
}

beforeAll(() => registerDecoder(GreyDecoder));
afterEach(() => {
  GreyDecoder.format = "I420";
});

describe("decodeWithMediabunny", () => {
  it.each(["I420", "NV12"] as const)("takes the frames asked for, from %s planes", async (format) => {
    GreyDecoder.format = format;
    const clip = await openTestClip();
    const seen: number[] = [];
    const frames = await decodeWithMediabunny(clip, [2, 7, 12, 23], {
      ...options,
      onFrame: (n) => seen.push(n),
    });
    const greys = [2, 7, 12, 23].map(greyOf);
    expect(
      frames.map(({ width, height, data }) => [width, height, data.length, data[0], new Set(data).size]),
    ).toEqual(greys.map((grey) => [64, 48, 64 * 48 * 3, grey, 1]));
    expect(seen).toEqual([1, 2, 3, 4]);
    clip.dispose();
  });

  it("counts from the first frame that an edit list shows", async () => {
    const clip = await openTestClip("trimmed.mp4");
    const [first] = await decodeWithMediabunny(clip, [0], options);
    // Cut at 0.55 s: the frame at 7/12 s is shown first, 0.03 s after the cut.
    expect(clip.timestamps[0]).toBeCloseTo(7 / 12 - 0.55, 3);
    expect(first.width).toBe(64);
    clip.dispose();
  });

  it("counts the pictures where the clip has hidden frames", async () => {
    const clip = await openTestClip("hidden.webm");
    expect(clip.hasHiddenFrames).toBe(true);
    const frames = await decodeWithMediabunny(clip, [3, 20, 23], options);
    expect(frames.map(({ data }) => data[0])).toEqual([3, 20, 23].map(greyOf));
    clip.dispose();
  });

  it("names a pixel format it cannot convert", async () => {
    GreyDecoder.format = "I444";
    const clip = await openTestClip();
    const call = decodeWithMediabunny(clip, [0], options);
    await expect(call).rejects.toThrow(MediaError);
    await expect(call).rejects.toThrow(/I444/);
    clip.dispose();
  });

  it("gives up on a decoder that never answers, and stops when cancelled", async () => {
    GreyDecoder.format = "stalled";
    const clip = await openTestClip();
    const call = decodeWithMediabunny(clip, [0], { ...options, timeoutMs: 50 });
    await expect(call).rejects.toThrow(MediaError);
    await expect(call).rejects.toThrow(/0.05 s/);
    const cancel = new AbortController();
    setTimeout(() => cancel.abort(), 20);
    const cancelled = decodeWithMediabunny(clip, [0], { ...options, signal: cancel.signal });
    await expect(cancelled).rejects.toThrow("aborted");
    clip.dispose();
  });

  // An unhandled rejection, which a failed decoder could leave behind, fails the run.
  it("reports a decoder that fails, once, and closes it", async () => {
    GreyDecoder.format = "broken";
    GreyDecoder.closed = 0;
    const clip = await openTestClip();
    await expect(decodeWithMediabunny(clip, [0], options)).rejects.toThrow(MediaError);
    clip.dispose();
    await vi.waitFor(() => expect(GreyDecoder.closed).toBe(1));
  });
});
