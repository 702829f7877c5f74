/** From ink to light, and from four bytes a pixel to three. */

/** a * b / 255, rounded: Pillow's `MULDIV255`. */
function multiply255(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/**
 * Pillow's `cmyk2rgb`, which uses no colour profile: each light is what black leaves, less what the ink takes of it.
 *
 * @param cmyk `[pixels, 4]`, 255 is full ink
 * @returns `[pixels, 3]`
 */
export function cmykToRGB(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let read = 0, write = 0; read < cmyk.length; read += 4) {
    const light = 255 - cmyk[read + 3];
    rgb[write++] = light - multiply255(cmyk[read], light);
    rgb[write++] = light - multiply255(cmyk[read + 1], light);
    rgb[write++] = light - multiply255(cmyk[read + 2], light);
  }
  return rgb;
}

/**
 * Pixels of one (gray), two (gray, alpha), three (RGB) or four (RGB, alpha) bytes, as RGB. Alpha is dropped, not
 * composited.
 *
 * @param data `[pixels, channels]`
 * @returns `[pixels, 3]`
 */
export function toRGB(data: Uint8Array | Uint8ClampedArray, channels: number): Uint8Array {
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  const next = channels < 3 ? 0 : 1;
  for (let pixel = 0, read = 0, write = 0; pixel < pixels; pixel++, read += channels, write += 3) {
    rgb[write] = data[read];
    rgb[write + 1] = data[read + next];
    rgb[write + 2] = data[read + 2 * next];
  }
  return rgb;
}
