import { MediaError } from "../errors.ts";
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

interface Box {
  type: string;
  /** Where the contents start and end in the file. */
  start: number;
  end: number;
}

/**
 * Reads the timing of the track `trackId`. Returns undefined when the file has no such track.
 *
 * @throws MediaError when boxes overrun each other, or the edit list does more than cut one piece out.
 */
export async function readTrackTiming(bytes: ClipBytes, trackId: number): Promise<TrackTiming | undefined> {
  const movie = await find(bytes, { type: "file", start: 0, end: bytes.size }, "moov");
  if (movie === undefined) return undefined;
  for (const track of (await children(bytes, movie)).filter((box) => box.type === "trak")) {
    if ((await trackIdOf(bytes, track)) === trackId) return timingOf(bytes, movie, track);
  }
  return undefined;
}

async function timingOf(bytes: ClipBytes, movie: Box, track: Box): Promise<TrackTiming> {
  const timescale = await timescaleOf(bytes, await require(bytes, movie, "mvhd"));
  const media = await require(bytes, track, "mdia");
  const mediaTimescale = await timescaleOf(bytes, await require(bytes, media, "mdhd"));
  const table = await require(bytes, await require(bytes, media, "minf"), "stbl");
  const durations = await contents(bytes, await require(bytes, table, "stts"));

  let samples = 0;
  let ticks = 0;
  const rows = rowCount(bytes, durations, 4, 8);
  for (let row = 0; row < rows; row++) {
    const count = durations.getUint32(8 + 8 * row);
    samples += count;
    ticks += count * durations.getUint32(12 + 8 * row);
  }
  const edits = await find(bytes, track, "edts");
  const list = edits && (await find(bytes, edits, "elst"));
  const shown =
    list &&
    shownRange(bytes, await contents(bytes, list), (duration) =>
      Math.round((duration * mediaTimescale) / timescale),
    );
  return { timescale: mediaTimescale, samples, ticks, shown };
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
  const header = await contents(bytes, await require(bytes, track, "tkhd"));
  return header.getUint32(header.getUint8(0) === 1 ? 20 : 12);
}

async function timescaleOf(bytes: ClipBytes, box: Box): Promise<number> {
  const header = await contents(bytes, box);
  const timescale = header.getUint32(header.getUint8(0) === 1 ? 20 : 12);
  if (timescale === 0) throw damaged(bytes, `its ${box.type} has a clock of 0 ticks a second`);
  return timescale;
}

/** The row count at `at`, after a check that this many rows of `rowBytes` are there. */
function rowCount(bytes: ClipBytes, view: DataView, at: number, rowBytes: number): number {
  const rows = view.getUint32(at);
  if (at + 4 + rows * rowBytes > view.byteLength)
    throw damaged(bytes, `a table claims ${rows} rows and has fewer`);
  return rows;
}

async function require(bytes: ClipBytes, parent: Box, type: string): Promise<Box> {
  const box = await find(bytes, parent, type);
  if (box === undefined) throw damaged(bytes, `its ${parent.type} box has no ${type} box`);
  return box;
}

async function find(bytes: ClipBytes, parent: Box, type: string): Promise<Box | undefined> {
  return (await children(bytes, parent)).find((box) => box.type === type);
}

async function children(bytes: ClipBytes, parent: Box): Promise<Box[]> {
  const boxes: Box[] = [];
  let at = parent.start;
  while (at + 8 <= parent.end) {
    const head = await view(bytes, at, Math.min(at + 16, parent.end));
    const type = String.fromCharCode(...new Uint8Array(head.buffer, head.byteOffset + 4, 4));
    let size = head.getUint32(0);
    let start = at + 8;
    if (size === 1 && head.byteLength === 16) {
      size = Number(head.getBigUint64(8));
      start = at + 16;
    } else if (size === 0) {
      size = parent.end - at; // to the end of its parent
    }
    if (size < start - at || at + size > parent.end)
      throw damaged(bytes, `its ${type} box overruns the ${parent.type}`);
    boxes.push({ type, start, end: at + size });
    if (boxes.length > MAX_BOXES) throw damaged(bytes, `its ${parent.type} has more than ${MAX_BOXES} boxes`);
    at += size;
  }
  return boxes;
}

const MAX_BOX = 64 * 1024 * 1024;
/** Far more than any clip has; without it a file of empty boxes would keep the reader busy for hours. */
const MAX_BOXES = 200_000;

async function contents(bytes: ClipBytes, box: Box): Promise<DataView> {
  // The smallest of the boxes read here has 8 bytes; headers are read up to byte 24.
  const least = box.type === "stts" || box.type === "elst" ? 8 : 24;
  if (box.end - box.start < least || box.end - box.start > MAX_BOX) {
    throw damaged(bytes, `its ${box.type} box has ${box.end - box.start} bytes`);
  }
  return view(bytes, box.start, box.end);
}

async function view(bytes: ClipBytes, start: number, end: number): Promise<DataView> {
  const part = await bytes.read(start, end);
  return new DataView(part.buffer, part.byteOffset, part.byteLength);
}

function damaged(bytes: ClipBytes, problem: string): MediaError {
  return new MediaError(bytes.name, `${problem}; the file is damaged`);
}
