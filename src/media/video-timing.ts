import { MediaError } from "../errors.ts";
import { type Box, children, contents, damaged, findBox, requireBox, rowCount } from "./video-boxes.ts";
import type { ClipBytes } from "./video-source.ts";

/** What an MP4 or MOV file says of one track's time (ISO/IEC 14496-12, sections 8.4.2, 8.6.1.2 and 8.6.6). */
export interface TrackTiming {
  /** Ticks a second of the track's own clock. */
  timescale: number;
  /** Samples listed in `stts`, and the sum of their durations in ticks. Both 0 when the file is fragmented. */
  samples: number;
  ticks: number;
  /** The part of the track that is shown, in ticks after the edit list's start; undefined when all of it is. */
  shown: { from: number; to: number } | undefined;
}

/**
 * Reads the timing of the track `trackId`. Returns undefined when the file has no such track.
 *
 * @throws MediaError when boxes overrun each other, or the edit list does more than cut one piece out.
 */
export async function readTrackTiming(bytes: ClipBytes, trackId: number): Promise<TrackTiming | undefined> {
  const movie = await findBox(bytes, { type: "file", start: 0, end: bytes.size }, "moov");
  if (movie === undefined) return undefined;
  await checkFragments(bytes);
  for (const track of (await children(bytes, movie)).filter((box) => box.type === "trak")) {
    if ((await trackIdOf(bytes, track)) === trackId) return timingOf(bytes, movie, track);
  }
  return undefined;
}

async function timingOf(bytes: ClipBytes, movie: Box, track: Box): Promise<TrackTiming> {
  const timescale = await timescaleOf(bytes, await requireBox(bytes, movie, "mvhd"));
  const media = await requireBox(bytes, track, "mdia");
  const mediaTimescale = await timescaleOf(bytes, await requireBox(bytes, media, "mdhd"));
  const table = await requireBox(bytes, await requireBox(bytes, media, "minf"), "stbl");
  const { samples, ticks } = await sampleTimes(bytes, table);
  const edits = await findBox(bytes, track, "edts");
  const list = edits && (await findBox(bytes, edits, "elst"));
  const shown =
    list &&
    shownRange(bytes, await contents(bytes, list), (duration) =>
      Math.round((duration * mediaTimescale) / timescale),
    );
  return { timescale: mediaTimescale, samples, ticks, shown };
}

/** More than 18 hours at 30 frames a second. */
export const MAX_FRAMES = 2_000_000;
/** A few seconds' walk. */
const MAX_CHUNK_STEPS = 2 ** 32;

/** The run-length tables of a track's samples, checked: a demuxer writes out every run, so a false count would fill the memory. */
async function sampleTimes(bytes: ClipBytes, table: Box): Promise<{ samples: number; ticks: number }> {
  const durations = await contents(bytes, await requireBox(bytes, table, "stts"));
  let samples = 0;
  let ticks = 0;
  for (let row = 0; row < rowCount(bytes, durations, 4, 8); row++) {
    const count = durations.getUint32(8 + 8 * row);
    samples += count;
    ticks += count * durations.getUint32(12 + 8 * row);
  }
  const offsetBox = await findBox(bytes, table, "ctts");
  let offsetSamples = 0;
  if (offsetBox !== undefined) {
    const offsets = await contents(bytes, offsetBox);
    for (let row = 0; row < rowCount(bytes, offsets, 4, 8); row++)
      offsetSamples += offsets.getUint32(8 + 8 * row);
  }
  requireFrameCount(bytes, Math.max(samples, offsetSamples));
  await checkChunks(bytes, table, samples);
  return { samples, ticks };
}

/** To find one sample the demuxer walks its whole chunk: a chunk must not claim more than there is, nor be a film's length. */
async function checkChunks(bytes: ClipBytes, table: Box, samples: number): Promise<void> {
  const box = await findBox(bytes, table, "stsc");
  if (box === undefined || samples === 0) return;
  const chunks = await contents(bytes, box);
  for (let row = 0; row < rowCount(bytes, chunks, 4, 12); row++) {
    const inChunk = chunks.getUint32(12 + 12 * row);
    if (inChunk > samples) throw damaged(bytes, `a chunk claims ${inChunk} of its ${samples} samples`);
    if (inChunk * samples > MAX_CHUNK_STEPS) {
      const problem = `it holds ${inChunk} samples in one chunk, too many to find one quickly`;
      throw new MediaError(bytes.name, `${problem}; write it anew: ffmpeg -i in.mp4 -c copy out.mp4`);
    }
  }
}

/** The same for the fragments of a file that was written piece by piece. */
async function checkFragments(bytes: ClipBytes): Promise<void> {
  let samples = 0;
  for (const fragment of await children(bytes, { type: "file", start: 0, end: bytes.size })) {
    if (fragment.type !== "moof") continue;
    for (const track of await children(bytes, fragment)) {
      if (track.type !== "traf") continue;
      for (const run of await children(bytes, track)) {
        if (run.type === "trun") samples += (await contents(bytes, run)).getUint32(4);
      }
    }
  }
  // Sound counts too here, and has some 2 to 4 samples for each frame.
  requireFrameCount(bytes, samples / 4);
}

function requireFrameCount(bytes: ClipBytes, count: number): void {
  if (count > MAX_FRAMES) {
    const remedy = "the file is damaged, or must be cut into shorter clips";
    throw new MediaError(bytes.name, `claims ${count} frames, more than ${MAX_FRAMES}; ${remedy}`);
  }
}

/**
 * Empty edits (media time -1) delay the start; one other edit says which part of the media is shown. `shown` counts from
 * where the media would stand with that edit's start at 0 and the delay added, which is how the demuxer stamps packets.
 */
function shownRange(bytes: ClipBytes, list: DataView, toTicks: (duration: number) => number) {
  const long = list.getUint8(0) === 1;
  const rows = rowCount(bytes, list, 4, long ? 20 : 12);
  let delay = 0;
  let shown: TrackTiming["shown"];
  for (let row = 0; row < rows; row++) {
    const at = 8 + row * (long ? 20 : 12);
    const duration = long ? Number(list.getBigUint64(at)) : list.getUint32(at);
    const mediaTime = long ? Number(list.getBigInt64(at + 8)) : list.getInt32(at + 4);
    const rate = list.getInt32(at + (long ? 16 : 8));
    if (mediaTime === -1 && shown === undefined) {
      delay += duration;
      continue;
    }
    if (shown !== undefined || rate !== 0x10000) {
      const problem = "its edit list joins several pieces or changes the speed";
      throw new MediaError(bytes.name, `${problem}; encode it anew: ffmpeg -i in.mp4 out.mp4`);
    }
    const from = toTicks(delay);
    // A duration of 0 means: to the end (a file that was still being written).
    shown = { from, to: duration === 0 ? Number.POSITIVE_INFINITY : from + toTicks(duration) };
  }
  return shown;
}

async function trackIdOf(bytes: ClipBytes, track: Box): Promise<number> {
  const header = await contents(bytes, await requireBox(bytes, track, "tkhd"));
  return header.getUint32(header.getUint8(0) === 1 ? 20 : 12);
}

async function timescaleOf(bytes: ClipBytes, box: Box): Promise<number> {
  const header = await contents(bytes, box);
  const timescale = header.getUint32(header.getUint8(0) === 1 ? 20 : 12);
  if (timescale === 0) throw damaged(bytes, `its ${box.type} has a clock of 0 ticks a second`);
  return timescale;
}
