import { MediaError } from "../errors.ts";
import type { ClipBytes } from "./video-source.ts";

/** A box of an MP4 or MOV file (ISO/IEC 14496-12, section 4.2). */
export interface Box {
  type: string;
  /** Where the contents start and end in the file. */
  start: number;
  end: number;
}

/** The row count at `at`, after a check that this many rows of `rowBytes` are there. */
export function rowCount(bytes: ClipBytes, view: DataView, at: number, rowBytes: number): number {
  const rows = view.getUint32(at);
  if (at + 4 + rows * rowBytes > view.byteLength)
    throw damaged(bytes, `a table claims ${rows} rows and has fewer`);
  return rows;
}

/** @throws MediaError when `parent` has no such box. */
export async function requireBox(bytes: ClipBytes, parent: Box, type: string): Promise<Box> {
  const box = await findBox(bytes, parent, type);
  if (box === undefined) throw damaged(bytes, `its ${parent.type} box has no ${type} box`);
  return box;
}

export async function findBox(bytes: ClipBytes, parent: Box, type: string): Promise<Box | undefined> {
  return (await children(bytes, parent)).find((box) => box.type === type);
}

/**
 * The boxes inside `parent`, in order.
 *
 * @throws MediaError when one reaches past the end of `parent`.
 */
export async function children(bytes: ClipBytes, parent: Box): Promise<Box[]> {
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

/** The bytes of a box that is small enough to hold: a header or a table. */
export async function contents(bytes: ClipBytes, box: Box): Promise<DataView> {
  // The smallest tables have 8 bytes; headers are read up to byte 24.
  const least = box.type.endsWith("hd") ? 24 : 8;
  if (box.end - box.start < least || box.end - box.start > MAX_BOX) {
    throw damaged(bytes, `its ${box.type} box has ${box.end - box.start} bytes`);
  }
  return view(bytes, box.start, box.end);
}

async function view(bytes: ClipBytes, start: number, end: number): Promise<DataView> {
  const part = await bytes.read(start, end);
  return new DataView(part.buffer, part.byteOffset, part.byteLength);
}

export function damaged(bytes: ClipBytes, problem: string): MediaError {
  return new MediaError(bytes.name, `${problem}; the file is damaged`);
}
