import { MediaError } from "../errors.ts";
import type { RGBImage } from "./image.ts";

/** One plane of a decoded frame, wherever it lies: sample (x, y) is `data[offset + y * stride + x * step]`. */
export interface Plane {
  data: Uint8Array;
  offset: number;
  stride: number;
  /** 1 for planar I420; 2 for the interleaved chroma of NV12. */
  step: number;
}

/** An 8-bit YUV 4:2:0 frame: Y is `[height, width]`, U and V are `[ceil(height / 2), ceil(width / 2)]`. */
export interface YUV420Frame {
  width: number;
  height: number;
  y: Plane;
  u: Plane;
  v: Plane;
  /** An untagged clip is BT.601, whatever its size. */
  matrix: YUVMatrix;
  /** True when Y, U and V use all of 0..255 (JPEG range), false when black is 16 and white 235. */
  fullRange: boolean;
}

export type YUVMatrix = keyof typeof inverseMatrices;

/**
 * For each standard the factors of V in red, U in blue, U in green and V in green, in units of 1/65536 and for 16..235
 * video: the inverse matrices of ISO/IEC 13818-2 and ITU-R BT.2020, as libswscale tabulates them.
 */
const inverseMatrices = {
  bt601: [104597, 132201, 25675, 53279],
  bt709: [117489, 138438, 13975, 34925],
  fcc: [104448, 132798, 24759, 53109],
  smpte240m: [117579, 136230, 16907, 35559],
  bt2020: [110013, 140363, 12277, 42626],
} as const;

/**
 * The RGB that ffmpeg makes of a YUV 4:2:0 frame (`-pix_fmt rgb24`, on x86), bit for bit: 13-bit factors, the high half
 * of 16-bit products, each chroma sample standing for its 2x2 pixels.
 *
 * That is libswscale's path for even heights, checked for even and odd widths. At an odd height (VP8, VP9 and AV1 can
 * have one; H.264 and HEVC cannot) libswscale interpolates chroma between rows instead, and this function does not: the
 * colours at edges then differ from ffmpeg's.
 *
 * Source of the arithmetic: libswscale, `ff_yuv2rgb_c_init_tables` (factors) and `x86/yuv_2_rgb.asm` (products).
 *
 * @throws MediaError when a plane is too short for the frame.
 */
export function yuv420ToRGB(frame: YUV420Frame): RGBImage {
  const { width, height, y, u, v } = frame;
  requirePlane("Y", y, width, height);
  requirePlane("U", u, (width + 1) >> 1, (height + 1) >> 1);
  requirePlane("V", v, (width + 1) >> 1, (height + 1) >> 1);
  const { luma, redV, greenU, greenV, blueU } = productTables(frame.matrix, frame.fullRange);

  const rgb = new Uint8ClampedArray(width * height * 3);
  let at = 0;
  for (let row = 0; row < height; row++) {
    const yRow = y.offset + row * y.stride;
    const uRow = u.offset + (row >> 1) * u.stride;
    const vRow = v.offset + (row >> 1) * v.stride;
    for (let column = 0; column < width; column++) {
      const light = luma[y.data[yRow + column * y.step]];
      const uSample = u.data[uRow + (column >> 1) * u.step];
      const vSample = v.data[vRow + (column >> 1) * v.step];
      rgb[at++] = light + redV[vSample];
      rgb[at++] = light + greenU[uSample] + greenV[vSample];
      rgb[at++] = light + blueU[uSample];
    }
  }
  return { width, height, data: new Uint8Array(rgb.buffer) };
}

/** The three planes of a frame that lies in one piece, as `ffmpeg -pix_fmt yuv420p -f rawvideo` writes it. */
export function packedPlanes(
  data: Uint8Array,
  width: number,
  height: number,
): { y: Plane; u: Plane; v: Plane } {
  const chromaWidth = (width + 1) >> 1;
  const chromaSize = chromaWidth * ((height + 1) >> 1);
  const luma = width * height;
  return {
    y: { data, offset: 0, stride: width, step: 1 },
    u: { data, offset: luma, stride: chromaWidth, step: 1 },
    v: { data, offset: luma + chromaSize, stride: chromaWidth, step: 1 },
  };
}

/** The bytes of one packed 4:2:0 frame. */
export function packedSize(width: number, height: number): number {
  return width * height + 2 * ((width + 1) >> 1) * ((height + 1) >> 1);
}

/** For each sample value 0..255, what it adds to a colour. */
function productTables(matrix: YUVMatrix, fullRange: boolean) {
  // Full range keeps luma as it is and shrinks the chroma factors, which are tabulated for 16..240.
  const lumaFactor = fullRange ? 65536 : Math.trunc((65536 * 255) / 219);
  const [crv, cbu, cgu, cgv] = inverseMatrices[matrix].map((f) =>
    fullRange ? Math.trunc((f * 224) / 255) : f,
  );
  return {
    luma: products(lumaFactor, fullRange ? 0 : 16),
    redV: products(crv, 128),
    greenU: products(-cgu, 128),
    greenV: products(-cgv, 128),
    blueU: products(cbu, 128),
  };
}

function products(factor: number, zero: number): Int16Array {
  const factor13 = (factor * 8192 + 32768) >> 16;
  return Int16Array.from({ length: 256 }, (_, sample) => (((sample - zero) << 3) * factor13) >> 16);
}

function requirePlane(name: string, plane: Plane, width: number, height: number): void {
  const last = plane.offset + (height - 1) * plane.stride + (width - 1) * plane.step;
  if (!(width > 0 && height > 0) || !(last < plane.data.length)) {
    throw new MediaError(
      "video frame",
      `its ${name} plane has ${plane.data.length} bytes, too few for ${width}x${height} samples; the clip is damaged`,
    );
  }
}
