import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RangeServer, serveRanges } from "../test/support/range-server.ts";
import { openBrowser } from "./support/browser.ts";
import { openHarness, serveHarness } from "./support/serve.ts";

interface GoldenImage {
  file: string;
  width: number;
  height: number;
  rgb_sha256: string;
}

const folder = "test/golden/images";
const golden = JSON.parse(readFileSync(`${folder}/tiles.json`, "utf8")).images as GoldenImage[];
/** What takes the package sharp, and so Node. */
const refused = ["cmyk.jpg", "plain.tiff"];

let browser: Browser;
let harness: RangeServer;
let pictures: RangeServer;
let page: Page;
beforeAll(async () => {
  harness = await serveHarness();
  pictures = await serveRanges({ "/": folder });
  browser = await openBrowser();
  page = await openHarness(harness, browser);
});
afterAll(async () => {
  await browser?.close();
  await harness?.close();
  await pictures?.close();
});

/** Width, height and the pixels' hash, or the error. */
const decode = (file: string) =>
  page.evaluate(async (address) => {
    try {
      const { width, height, data } = await internvl.loadImage(address);
      return { width, height, data };
    } catch (error) {
      return { message: (error as Error).message, media: error instanceof internvl.MediaError };
    }
  }, `${pictures.origin}/${file}`);

describe("pictures decoded in a page", () => {
  it("are 25, two of them only for Node", () => {
    expect(golden).toHaveLength(25);
    expect(golden.filter(({ file }) => refused.includes(file))).toHaveLength(2);
  });

  it.each(golden.filter(({ file }) => !refused.includes(file)))(
    "$file: every byte as Pillow has it",
    async (picture) => {
      const decoded = await decode(picture.file);
      if (!("data" in decoded)) throw new Error(decoded.message);
      const { width, height, data } = decoded;
      expect([width, height]).toEqual([picture.width, picture.height]);
      const sha256 = () => createHash("sha256").update(data!).digest("hex");
      expect(sha256()).toBe(picture.rgb_sha256);
      data![0] ^= 1;
      expect(sha256()).not.toBe(picture.rgb_sha256);
    },
  );

  it.each(refused)("%s: refused, and it says what to do", async (file) => {
    const decoded = await decode(file);
    expect(decoded).toMatchObject({ media: true });
    expect("message" in decoded && decoded.message).toMatch(/save it as|browser/);
  });
});
