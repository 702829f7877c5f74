import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requireBuild } from "../test/built.ts";
import { type RangeServer, serveRanges } from "../test/support/range-server.ts";
import { openBrowser, problemsOf } from "./support/browser.ts";
import { isolation } from "./vite.config.ts";

const configFile = fileURLToPath(new URL("vite.config.ts", import.meta.url));
const built = fileURLToPath(new URL("../build/web", import.meta.url));
const images = fileURLToPath(new URL("../examples/images/", import.meta.url));

let browser: Browser;
beforeAll(async () => {
  await requireBuild();
  await build({ configFile, logLevel: "error" });
  browser = await openBrowser();
});
afterAll(() => browser?.close());

/** A page that has loaded its model. */
async function openPage(origin: string, query = ""): Promise<{ page: Page; problems: string[] }> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = problemsOf(page);
  await page.goto(`${origin}/${query}`);
  await page.locator("#ask:enabled").waitFor({ timeout: 90_000 });
  return { page, problems };
}

/** Drops a file onto the page as a person would. */
async function dropPicture(page: Page, name: string): Promise<void> {
  const bytes = readFileSync(`${images}${name}`).toString("base64");
  await page.evaluate(
    ([base64, fileName]) => {
      const data = new DataTransfer();
      const content = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      data.items.add(new File([content], fileName));
      const drop = document.getElementById("drop")!;
      drop.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    },
    [bytes, name],
  );
}

async function ask(page: Page, question: string): Promise<string> {
  await page.locator("#question").fill(question);
  await page.locator("#ask").click();
  await page.locator("#figures:not(:empty)").waitFor();
  return page.locator("#answer").innerText();
}

const cases = [
  [
    "shapes.png",
    "Describe the picture.",
    "A blue rectangle, a red square and an orange circle on a white background.",
  ],
  ["receipt.png", "What is the total?", "88.27"],
] as const;

describe.each([
  ["isolated: several threads", isolation, true],
  ["without the headers of isolation: one thread", {}, false],
])("the page, %s", (_, headers, threads) => {
  let server: RangeServer;
  beforeAll(async () => {
    server = await serveRanges({ "/": built }, { headers });
  });
  afterAll(() => server.close());

  it("answers about a dropped picture, and says what it runs on", async () => {
    const { page, problems } = await openPage(server.origin, "?device=cpu");
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(threads);
    expect(await page.locator("#status").innerText()).toContain("WebAssembly");
    const notices = await page.locator("#notices").innerText();
    expect(notices.includes("one thread")).toBe(!threads);
    for (const [picture, question, answer] of cases) {
      await dropPicture(page, picture);
      expect(await ask(page, question)).toBe(answer);
    }
    expect(problems).toEqual([]);
    await page.context().close();
  });
});
