/** Writes an RGB picture as a PNG file (PNG specification, third edition: truecolour, 8 bits). */

import { crc32 } from "./crc32.ts";
import { checkRGBImage, type RGBImage } from "./image.ts";

const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, crc32(bytes.subarray(4, data.length + 8)));
  return bytes;
}

/**
 * The bytes of a PNG file with exactly these pixels.
 *
 * @throws MediaError when `data` does not have `width * height * 3` bytes
 */
export async function encodePng(image: RGBImage): Promise<Uint8Array> {
  const { width, height, data } = checkRGBImage(image, "image");
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8;
  header[9] = 2;

  // Every row is stored as its difference from the row above (filter 2): no neighbours to weigh, and still compact.
  const rowBytes = width * 3;
  const filtered = new Uint8Array((rowBytes + 1) * height);
  for (let y = 0; y < height; y++) {
    const write = y * (rowBytes + 1);
    filtered[write] = 2;
    for (let x = 0; x < rowBytes; x++) {
      const above = y === 0 ? 0 : data[(y - 1) * rowBytes + x];
      filtered[write + 1 + x] = data[y * rowBytes + x] - above;
    }
  }
  const stream = new Blob([filtered]).stream().pipeThrough(new CompressionStream("deflate"));
  const compressed = new Uint8Array(await new Response(stream).arrayBuffer());

  const parts = [
    signature,
    chunk("IHDR", header),
    chunk("IDAT", compressed),
    chunk("IEND", new Uint8Array()),
  ];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    file.set(part, position);
    position += part.length;
  }
  return file;
}
