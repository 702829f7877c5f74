/** WebP: its container (RFC 9649), and its pixels through libwebp. Of an animation, the first frame. */

import { MediaError } from "../errors.ts";
import { checkSize, type ImageLimits, type RGBImage } from "./image.ts";
import { decodeWithWasm } from "./wasm-codec.ts";

interface Chunk {
  type: string;
  /** Without the eight bytes of type and length. */
  data: Uint8Array;
}

const text = (bytes: Uint8Array, from: number) => String.fromCharCode(...bytes.subarray(from, from + 4));
const uint24 = (bytes: Uint8Array, at: number) => bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);

function damaged(source: string): MediaError {
  return new MediaError(source, "this WebP is damaged or cut short; get the whole file, or save it again");
}

/** The chunks between `start` and the end; each is padded to an even length. */
function readChunks(bytes: Uint8Array, start: number, source: string): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Chunk[] = [];
  for (let position = start; position + 8 <= bytes.length; ) {
    const length = view.getUint32(position + 4, true);
    const data = bytes.subarray(position + 8, position + 8 + length);
    if (data.length < length) throw damaged(source);
    chunks.push({ type: text(bytes, position), data });
    position += 8 + length + (length & 1);
  }
  return chunks;
}

/** Width and height of a VP8 (lossy) or VP8L (lossless) bitstream. */
function frameSize({ type, data }: Chunk, source: string): { width: number; height: number } {
  if (data.length < 10) throw damaged(source);
  if (type === "VP8 ") {
    return { width: (data[6] | (data[7] << 8)) & 0x3fff, height: (data[8] | (data[9] << 8)) & 0x3fff };
  }
  const bits = data[1] | (data[2] << 8) | (data[3] << 16) | (data[4] << 24);
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}

/** A file of these chunks. */
function assemble(chunks: Chunk[]): Uint8Array {
  const length = chunks.reduce((sum, { data }) => sum + 8 + data.length + (data.length & 1), 12);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  const write = (value: string, at: number) => {
    for (let i = 0; i < 4; i++) bytes[at + i] = value.charCodeAt(i);
  };
  write("RIFF", 0);
  view.setUint32(4, length - 8, true);
  write("WEBP", 8);
  let position = 12;
  for (const { type, data } of chunks) {
    write(type, position);
    view.setUint32(position + 4, data.length, true);
    bytes.set(data, position + 8);
    position += 8 + data.length + (data.length & 1);
  }
  return bytes;
}

/** A still WebP of an animation frame: the alpha of a lossy one is announced by a VP8X chunk. */
function stillOf(frame: Chunk[], width: number, height: number): Uint8Array {
  const extended = new Uint8Array(10);
  extended[0] = 0x10;
  for (let i = 0; i < 3; i++) {
    extended[4 + i] = (width - 1) >> (8 * i);
    extended[7 + i] = (height - 1) >> (8 * i);
  }
  return assemble([{ type: "VP8X", data: extended }, ...frame]);
}

const isBitstream = ({ type }: Chunk) => type === "VP8 " || type === "VP8L";

/** The first frame on the canvas, which starts out black, as in libwebp's animation decoder. */
async function decodeFirstFrame(
  animation: Uint8Array,
  canvas: { width: number; height: number },
  source: string,
): Promise<RGBImage> {
  if (animation.length < 16) throw damaged(source);
  const chunks = readChunks(animation, 16, source).filter(
    (chunk) => chunk.type === "ALPH" || isBitstream(chunk),
  );
  const bitstream = chunks.find(isBitstream);
  if (!bitstream) throw damaged(source);
  const left = uint24(animation, 0) * 2;
  const top = uint24(animation, 3) * 2;
  const size = frameSize(bitstream, source);
  if (size.width < 1 || size.height < 1) throw damaged(source);
  if (left + size.width > canvas.width || top + size.height > canvas.height) throw damaged(source);
  const frame = await decodeWithWasm("webp", stillOf(chunks, size.width, size.height), size, source);
  if (size.width === canvas.width && size.height === canvas.height) return frame;
  const data = new Uint8Array(canvas.width * canvas.height * 3);
  for (let y = 0; y < size.height; y++) {
    const row = frame.data.subarray(y * size.width * 3, (y + 1) * size.width * 3);
    data.set(row, ((top + y) * canvas.width + left) * 3);
  }
  return { ...canvas, data };
}

/**
 * Decodes a WebP.
 *
 * @returns the picture, and the data of its EXIF chunk if there is one
 * @throws MediaError
 */
export async function decodeWebp(
  bytes: Uint8Array,
  source: string,
  limits: ImageLimits,
): Promise<{ image: RGBImage; exif: Uint8Array | undefined }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 8 + view.getUint32(4, true);
  if (end > bytes.length) throw damaged(source);
  const chunks = readChunks(bytes.subarray(0, end), 12, source);
  const exif = chunks.find(({ type }) => type === "EXIF")?.data;
  const [first] = chunks;
  if (!first) throw damaged(source);
  if (first.type === "VP8X") {
    const { data } = first;
    if (data.length < 10) throw damaged(source);
    const canvas = { width: uint24(data, 4) + 1, height: uint24(data, 7) + 1 };
    checkSize(source, canvas.width, canvas.height, limits);
    if (data[0] & 0x02) {
      const frame = chunks.find(({ type }) => type === "ANMF");
      if (!frame) throw damaged(source);
      return { image: await decodeFirstFrame(frame.data, canvas, source), exif };
    }
  }
  const bitstream = chunks.find(isBitstream);
  if (!bitstream) throw damaged(source);
  const size = frameSize(bitstream, source);
  checkSize(source, size.width, size.height, limits);
  return { image: await decodeWithWasm("webp", bytes, size, source), exif };
}
