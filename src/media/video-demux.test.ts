import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MediaError } from "../errors.ts";
import { type Clip, openClip } from "./video-demux.ts";
import { defaultVideoLimits, openClipBytes } from "./video-source.ts";

// Made by ffmpeg: test/media/make.mjs.
const read = (file: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/media/${file}`, import.meta.url)));
const clips = JSON.parse(new TextDecoder().decode(read("clips.json"))) as {
  file: string;
  width: number;
  height: number;
  fps: string;
  timestamps: number[];
}[];

async function open(bytes: Uint8Array): Promise<Clip> {
  return openClip(await openClipBytes(bytes, { limits: defaultVideoLimits }));
}

// The demuxer warns on the console about damaged files.
beforeEach(() => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("openClip", () => {
  it.each(clips)(
    "finds in $file the frames that ffmpeg puts out",
    async ({ file, width, height, fps, timestamps }) => {
      const clip = await open(read(file));
      const [frames, seconds] = fps.split("/").map(Number);
      expect(clip.fps).toBe(frames / seconds);
      expect([clip.width, clip.height]).toEqual([width, height]);
      // ffmpeg moves the first frame after a cut to 0; the distances stay.
      expect(clip.timestamps).toHaveLength(timestamps.length);
      for (const [i, timestamp] of clip.timestamps.entries()) {
        expect(timestamp - clip.timestamps[0]).toBeCloseTo(timestamps[i] - timestamps[0], 2);
      }
      clip.dispose();
    },
  );

  it("would count hidden frames without the edit list", async () => {
    const [whole, trimmed] = [clips[0], clips[1]];
    expect(trimmed.timestamps.length).toBeLessThan(whole.timestamps.length);
    const bytes = read(trimmed.file);
    bytes.set(new TextEncoder().encode("skip"), indexOf(bytes, "elst"));
    const clip = await open(bytes);
    expect(clip.timestamps).toHaveLength(whole.timestamps.length);
    clip.dispose();
  });

  it.each([
    ["sound alone", read("audio-only.mp4"), /no pictures/],
    ["a web page", new TextEncoder().encode("<!DOCTYPE html><html><title>404</title></html>"), /web page/],
    ["text", new TextEncoder().encode("not a clip at all\n".repeat(40)), /is no MP4/],
    ["one byte", Uint8Array.of(0), /damaged/],
    ["the first half", read("clip.mp4").subarray(0, 9000), /cut short|damaged/],
    ["a second edit", withEdits(2), /edit list/],
    ["a false count of frames", withCount("stts"), /claims 4294967295 frames/],
    ["a false count of offsets", withCount("ctts"), /claims 4294967\d+ frames/],
    ["a false count in a chunk", withCount("stsc"), /a chunk claims 4294967295/],
    ["Matroska elements that lead nowhere", withoutElements(), /damaged/],
    ["a clock of 0 ticks", withZeroClock(), /0 ticks/],
  ])("refuses %s", async (_, bytes, problem) => {
    await expect(open(bytes)).rejects.toThrow(MediaError);
    await expect(open(bytes)).rejects.toThrow(problem);
  });

  it("survives damage anywhere: a result or a MediaError, in bounded time", async () => {
    const files = clips.map(({ file }) => read(file));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(files.length - 1),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 20 }),
        fc.option(fc.nat()),
        async (which, changes, cut) => {
          const whole = files[which];
          const bytes = whole.slice(0, cut === null ? whole.length : 1 + (cut % whole.length));
          // Half of the changes go to the index, which lies at one of the ends.
          for (const [i, [at, value]] of changes.entries()) {
            const place = i % 2 === 0 ? at % bytes.length : Math.max(0, bytes.length - 1 - (at % 1500));
            bytes[place] = value;
          }
          try {
            const clip = await open(bytes);
            expect(clip.timestamps.length).toBeGreaterThan(0);
            expect(clip.fps).toBeGreaterThanOrEqual(0);
            clip.dispose();
          } catch (error) {
            expect(error).toBeInstanceOf(MediaError);
          }
        },
      ),
      // A fixed seed: a hang in the demuxer would also keep fast-check from naming the seed it came from.
      { numRuns: 200, seed: 1 },
    );
  });

  it("stops when cancelled", async () => {
    const bytes = await openClipBytes(read("clip.mp4"), { limits: defaultVideoLimits });
    await expect(openClip(bytes, AbortSignal.abort())).rejects.toThrow("aborted");
  });
});

function indexOf(bytes: Uint8Array, type: string): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(type, 0, "latin1");
}

/** The trimmed clip with its one edit written `count` times. */
function withEdits(count: number): Uint8Array {
  const bytes = read("trimmed.mp4");
  const view = new DataView(bytes.buffer);
  const list = indexOf(bytes, "elst") - 4;
  const edits = indexOf(bytes, "edts") - 4;
  const media = indexOf(bytes, "mdia") - 4;
  const row = bytes.slice(list + 16, list + 28);
  // Grow every box around the list by one row, and put the row in.
  const grown = new Uint8Array(bytes.length + 12 * (count - 1));
  for (const at of [list, edits, indexOf(bytes, "trak") - 4, indexOf(bytes, "moov") - 4]) {
    view.setUint32(at, view.getUint32(at) + 12 * (count - 1));
  }
  view.setUint32(list + 12, count);
  grown.set(bytes.subarray(0, media));
  for (let i = 0; i < count - 1; i++) grown.set(row, media + 12 * i);
  grown.set(bytes.subarray(media), media + 12 * (count - 1));
  return grown;
}

/** The clip with the first row of a table standing for 2^32 - 1 samples; a chunk row begins with the chunk's number. */
function withCount(table: string): Uint8Array {
  const bytes = read("clip.mp4");
  new DataView(bytes.buffer).setUint32(indexOf(bytes, table) + (table === "stsc" ? 16 : 12), 0xffffffff);
  return bytes;
}

/** Matroska's head and the start of its segment, and zeros in place of the elements. */
function withoutElements(): Uint8Array {
  const bytes = read("bt709.mkv");
  const segment = indexOf(bytes, "\x18\x53\x80\x67") + 12;
  return bytes.slice(0, segment + 64).fill(0, segment);
}

function withZeroClock(): Uint8Array {
  const bytes = read("clip.mp4");
  new DataView(bytes.buffer).setUint32(indexOf(bytes, "mdhd") + 16, 0);
  return bytes;
}
