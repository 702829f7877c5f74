import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { MediaError, OptionError } from "../errors.ts";
import { decodeImage } from "./decode.ts";

const folder = "test/golden/images";

interface GoldenImage {
  file: string;
  width: number;
  height: number;
  rgb_sha256: string;
}

interface SmallFile {
  name: string;
  mode: string;
  width: number;
  height: number;
  sha256: string;
  upright?: { width: number; height: number; sha256: string };
  base64: string;
}

const golden = JSON.parse(readFileSync(`${folder}/tiles.json`, "utf8")).images as GoldenImage[];
const small = JSON.parse(readFileSync("src/media/decode.golden.json", "utf8")).files as SmallFile[];

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const bytesOf = (file: SmallFile) => new Uint8Array(Buffer.from(file.base64, "base64"));
const read = (name: string) => new Uint8Array(readFileSync(`${folder}/${name}`));

const hasSharp = await import("sharp").then(
  () => true,
  () => false,
);
const needsSharp = (name: string, mode: string) => name.endsWith(".tiff") || mode === "CMYK";

describe("decodeImage", () => {
  for (const { file, width, height, rgb_sha256 } of golden) {
    it.skipIf(!hasSharp && needsSharp(file, file === "cmyk.jpg" ? "CMYK" : ""))(
      `reads ${file} as Pillow does`,
      async () => {
        const image = await decodeImage(read(file));
        expect([image.width, image.height]).toEqual([width, height]);
        expect(sha256(image.data)).toBe(rgb_sha256);
        image.data[0] ^= 1;
        expect(sha256(image.data)).not.toBe(rgb_sha256);
      },
    );
  }

  for (const file of small) {
    it.skipIf(!hasSharp && needsSharp(file.name, file.mode))(
      `reads ${file.name} (${file.mode}) as Pillow does`,
      async () => {
        const image = await decodeImage(bytesOf(file));
        expect([image.width, image.height]).toEqual([file.width, file.height]);
        expect(sha256(image.data)).toBe(file.sha256);
        if (!file.upright) return;
        const upright = await decodeImage(bytesOf(file), { exif: true });
        expect([upright.width, upright.height]).toEqual([file.upright.width, file.upright.height]);
        expect(sha256(upright.data)).toBe(file.upright.sha256);
      },
    );
  }

  it("covers all eight orientations in JPEG, PNG and WebP, each different", () => {
    for (const kind of ["jpg", "png", "webp"]) {
      const files = small.filter(({ name }) => /^o[1-8]\./.test(name) && name.endsWith(`.${kind}`));
      expect(new Set(files.map(({ upright }) => upright?.sha256)).size).toBe(8);
    }
  });

  it("takes an ArrayBuffer, a Blob, and a view into a larger buffer", async () => {
    for (const name of ["noise.jpg", "gray16.png", "lossless.webp", "anim.gif", "plain.bmp"]) {
      const file = read(name);
      const larger = new Uint8Array(file.length + 20);
      larger.set(file, 7);
      for (const input of [file.buffer, new Blob([file]), larger.subarray(7, 7 + file.length)]) {
        expect(sha256((await decodeImage(input)).data)).toBe(
          golden.find((each) => each.file === name)?.rgb_sha256,
        );
      }
    }
  });

  it.skipIf(!hasSharp)("reads AVIF, near enough", async () => {
    const { default: sharp } = await import("sharp");
    const plain = sharp({
      create: { width: 40, height: 30, channels: 3, background: { r: 200, g: 120, b: 40 } },
    });
    const image = await decodeImage(await plain.avif({ quality: 90 }).toBuffer());
    expect([image.width, image.height]).toEqual([40, 30]);
    for (let i = 0; i < image.data.length; i++) {
      expect(Math.abs(image.data[i] - [200, 120, 40][i % 3])).toBeLessThan(4);
    }
  });

  it("opens a PNG that has all its pixels but not its end, as Pillow does", async () => {
    const bytes = read("gray.png");
    const wanted = golden.find(({ file }) => file === "gray.png")?.rgb_sha256;
    for (const missing of [1, 4, 12, 16, 20]) {
      expect(sha256((await decodeImage(bytes.subarray(0, bytes.length - missing))).data)).toBe(wanted);
    }
  });

  it("decodes several at once", async () => {
    const names = ["noise.jpg", "prog.jpg", "gray.jpg", "lossless.webp", "gray.png"];
    const images = await Promise.all(names.map((name) => decodeImage(read(name))));
    images.forEach((image, i) => {
      expect(sha256(image.data)).toBe(golden.find(({ file }) => file === names[i])?.rgb_sha256);
    });
  });
});

const ascii = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

describe("what decodeImage refuses", () => {
  it.each([
    ["nothing", new Uint8Array(), /empty/],
    ["HTML", ascii("\n<!DOCTYPE html><html><body>Not found</body></html>"), /HTML page.*address/],
    ["SVG", ascii('<?xml version="1.0"?><svg xmlns="x"/>'), /SVG/],
    ["PDF", ascii("%PDF-1.7"), /PDF/],
    ["HEIC", ascii("\0\0\0\x18ftypheic\0\0\0\0mif1heic"), /HEIC.*PNG or JPEG/],
    ["MP4", ascii("\0\0\0\x18ftypisom\0\0\0\0isommp41"), /video/],
    ["a Git LFS pointer", ascii("version https://git-lfs.github.com/spec/v1\noid sha256:0"), /git lfs pull/],
    ["noise", Uint8Array.of(1, 2, 3, 4), /begins with 01 02 03 04/],
    ["a JPEG's first bytes", Uint8Array.of(0xff, 0xd8, 0xff), /cut short/],
    ["a PNG's first bytes", ascii("\x89PNG\r\n\x1a\n"), /cut short/],
    ["a GIF's first bytes", ascii("GIF89a"), /cut short/],
    ["a WebP's first bytes", ascii("RIFF\0\0\0\0WEBP"), /cut short/],
    ["a BMP's first bytes", ascii("BM"), /cut short/],
  ])("%s", async (_, bytes, message) => {
    await expect(decodeImage(bytes)).rejects.toThrow(MediaError);
    await expect(decodeImage(bytes, { source: "cat.jpg" })).rejects.toThrow(message);
    await expect(decodeImage(bytes, { source: "cat.jpg" })).rejects.toThrow(/^cat\.jpg: /);
  });

  it("a file cut in the middle, and decodes the whole one right after", async () => {
    for (const { file, rgb_sha256 } of golden) {
      if (!hasSharp && needsSharp(file, file === "cmyk.jpg" ? "CMYK" : "")) continue;
      const bytes = read(file);
      await expect(decodeImage(bytes.subarray(0, bytes.length >> 1)), file).rejects.toThrow(MediaError);
      expect(sha256((await decodeImage(bytes)).data)).toBe(rgb_sha256);
    }
  });

  /** A golden file whose header claims 60000x60000. */
  const claims: [string, (view: DataView, bytes: Uint8Array) => void][] = [
    [
      "gray.jpg",
      (view, bytes) => {
        const frame = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
        view.setUint16(frame + 5, 60000);
        view.setUint16(frame + 7, 60000);
      },
    ],
    [
      "anim.gif",
      (view) => {
        view.setUint16(6, 60000, true);
        view.setUint16(8, 60000, true);
      },
    ],
    [
      "plain.bmp",
      (view) => {
        view.setInt32(18, 60000, true);
        view.setInt32(22, 60000, true);
      },
    ],
  ];
  it.each(claims)("a claim of 60000x60000 in %s, at once", async (name, change) => {
    const bytes = read(name);
    change(new DataView(bytes.buffer), bytes);
    const started = performance.now();
    await expect(decodeImage(bytes)).rejects.toThrow(/60000x60000 is 3600000000 pixels/);
    expect(performance.now() - started).toBeLessThan(200);
  });

  it("claims under the limit of pixels that the file's length cannot hold", async () => {
    const jpeg = read("gray.jpg");
    claims[0][1](new DataView(jpeg.buffer), jpeg);
    await expect(decodeImage(jpeg, { limits: { maxPixels: 1e10 } })).rejects.toThrow(/cannot hold/);
    const bmp = read("plain.bmp");
    claims[2][1](new DataView(bmp.buffer), bmp);
    await expect(decodeImage(bmp, { limits: { maxPixels: 1e10 } })).rejects.toThrow(/cut short/);
  });

  it("pictures over the caller's limits, and options out of range", async () => {
    const bytes = read("strip.png");
    await expect(decodeImage(bytes, { limits: { maxAspectRatio: 100 } })).rejects.toThrow(
      /150 times.*maxAspectRatio/,
    );
    await expect(decodeImage(bytes, { limits: { maxBytes: 1000 } })).rejects.toThrow(/maxBytes/);
    await expect(decodeImage(bytes, { limits: { maxPixels: 21_599 } })).rejects.toThrow(/maxPixels/);
    await expect(decodeImage(bytes, { limits: { maxPixels: 21_600 } })).resolves.toBeDefined();
    await expect(decodeImage(bytes, { limits: { maxPixels: 0 } })).rejects.toThrow(OptionError);
    await expect(decodeImage(bytes, { exif: 1 as unknown as boolean })).rejects.toThrow(OptionError);
    await expect(decodeImage("cat.jpg" as unknown as Uint8Array)).rejects.toThrow(MediaError);
  });

  it("TIFF, AVIF and CMYK where sharp is not installed, by name", async () => {
    vi.doMock("sharp", () => {
      throw new Error("Cannot find package 'sharp'");
    });
    try {
      await expect(decodeImage(read("plain.tiff"))).rejects.toThrow(/TIFF needs the optional package sharp/);
      await expect(decodeImage(read("cmyk.jpg"))).rejects.toThrow(/CMYK JPEG needs.*npm install sharp/);
    } finally {
      vi.doUnmock("sharp");
    }
  });

  it("TIFF, AVIF and CMYK in a browser, by name", async () => {
    const [tiff, cmyk] = [read("plain.tiff"), read("cmyk.jpg")];
    vi.stubGlobal("process", undefined);
    try {
      await expect(decodeImage(tiff)).rejects.toThrow(/TIFF cannot be decoded in a browser/);
      await expect(decodeImage(cmyk)).rejects.toThrow(/CMYK JPEGs cannot be decoded in a browser/);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

describe("damaged files", () => {
  const files = small.filter(({ name }) => hasSharp || !name.endsWith(".tiff")).map(bytesOf);

  /** Either a picture of the size it says, or a MediaError: never another error, never a hang. */
  async function decodesOrRefuses(bytes: Uint8Array): Promise<void> {
    try {
      const { width, height, data } = await decodeImage(bytes, { limits: { maxPixels: 1 << 20 } });
      expect(data.length).toBe(width * height * 3);
    } catch (error) {
      expect(error).toBeInstanceOf(MediaError);
    }
  }

  it("give a picture or a MediaError when bytes change", async () => {
    const change = fc.tuple(fc.nat(), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...files),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        async (file, changes) => {
          const bytes = file.slice();
          for (const [position, value] of changes) bytes[position % bytes.length] = value;
          await decodesOrRefuses(bytes);
        },
      ),
      { numRuns: 400 },
    );
  });

  it("give a picture or a MediaError when cut, or when parts are taken out", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...files), fc.nat(), fc.nat(40), async (file, position, count) => {
        const at = position % file.length;
        await decodesOrRefuses(file.subarray(0, at));
        await decodesOrRefuses(Uint8Array.from([...file.subarray(0, at), ...file.subarray(at + count)]));
      }),
      { numRuns: 200 },
    );
  });

  it("that make a decoder throw leave the next picture whole", async () => {
    for (const name of ["noise.jpg", "lossless.webp"]) {
      const broken = read(name);
      // The lengths of a JPEG's Huffman codes, and the start of a WebP's bitstream after its size.
      const start =
        name === "noise.jpg"
          ? broken.findIndex((byte, i) => byte === 0xff && broken[i + 1] === 0xc4) + 4
          : 26;
      broken.fill(0xff, start, start + 17);
      await expect(decodeImage(broken)).rejects.toThrow(/damaged/);
      const { rgb_sha256 } = golden.find(({ file }) => file === name)!;
      expect(sha256((await decodeImage(read(name))).data)).toBe(rgb_sha256);
    }
  });
});
