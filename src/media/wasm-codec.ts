/** The JPEG and WebP decoders: mozjpeg and libwebp as WASM, the same bytes in Node and in a browser. */

import { MediaError } from "../errors.ts";
import { toRGB } from "./colors.ts";
import type { RGBImage } from "./image.ts";

type CodecName = "jpeg" | "webp";

/** An Emscripten module: `decode` gives RGBA, or null, or throws whatever C++ threw, or aborts for good. */
interface Codec {
  decode(bytes: Uint8Array, ...rest: boolean[]): { data: Uint8ClampedArray } | null;
}

/** What follows the bytes: whether to turn a JPEG by its EXIF orientation. */
const extraArguments = { jpeg: [false], webp: [] };

type CodecFactory = (options: object) => Promise<Codec>;

const factories = {
  jpeg: async () => (await import("@jsquash/jpeg/codec/dec/mozjpeg_dec.js")).default as CodecFactory,
  webp: async () => (await import("@jsquash/webp/codec/dec/webp_dec.js")).default as CodecFactory,
};

/** WASM memory never shrinks: after a picture of more pixels than this the codec is let go with it. */
const keptPixels = 1 << 24;

const codecs = new Map<CodecName, Promise<Codec>>();

async function createCodec(name: CodecName): Promise<Codec> {
  const factory = await factories[name]();
  const options = { noInitialRun: true, print: () => {}, printErr: () => {} };
  // A browser's glue code fetches the .wasm file beside it by itself; Node's fetch reads no files.
  if (typeof process === "undefined" || !process.versions?.node) return factory(options);
  const { compileCodec } = await import("./wasm-codec.node.ts");
  const module = await compileCodec(name);
  const instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
    const instance = new WebAssembly.Instance(module, imports);
    done(instance);
    return instance.exports;
  };
  return factory({ ...options, instantiateWasm });
}

/**
 * Decodes a JPEG or WebP whose header says `width` and `height`.
 *
 * @throws MediaError when the decoder gives up. The next call then gets a new instance: the old one never frees what it
 * held when it threw, and would run out of memory in time.
 */
export async function decodeWithWasm(
  name: CodecName,
  bytes: Uint8Array,
  { width, height }: { width: number; height: number },
  source: string,
): Promise<RGBImage> {
  let codec = codecs.get(name);
  if (!codec) {
    codec = createCodec(name);
    codecs.set(name, codec);
  }
  let healthy = false;
  try {
    // A failure to load the codec is not the picture's fault, and so keeps its own error.
    const ready = await codec;
    let pixels: Uint8ClampedArray | undefined;
    let cause: unknown;
    try {
      pixels = ready.decode(bytes, ...extraArguments[name])?.data;
    } catch (error) {
      cause = error;
    }
    if (pixels?.length !== width * height * 4) {
      const kind = name === "jpeg" ? "JPEG" : "WebP";
      throw new MediaError(
        source,
        `this ${kind} is damaged or cut short; get the whole file, or save it again`,
        {
          cause,
        },
      );
    }
    healthy = width * height <= keptPixels;
    return { width, height, data: toRGB(pixels, 4) };
  } finally {
    if (!healthy && codecs.get(name) === codec) codecs.delete(name);
  }
}
