import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { createServer } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RangeServer, serveRanges } from "../test/support/range-server.ts";
import { openBrowser, problemsOf } from "./support/browser.ts";
import { buildPage, configFile } from "./support/serve.ts";
import { isolation } from "./vite.config.ts";

const images = fileURLToPath(new URL("../examples/images/", import.meta.url));

let browser: Browser;
let built: string;
beforeAll(async () => {
  built = await buildPage();
  browser = await openBrowser();
});
afterAll(() => browser?.close());

/** A page that has loaded its model, or could not. */
async function openPage(address: string, from = browser): Promise<{ page: Page; problems: string[] }> {
  const context = await from.newContext();
  const page = await context.newPage();
  const problems = problemsOf(page);
  await page.goto(address);
  await page.locator("#ask:enabled, #error:not([hidden])").first().waitFor({ timeout: 90_000 });
  return { page, problems };
}

/** Drops a file onto the page as a person would. */
async function drop(page: Page, name: string, bytes: Buffer): Promise<void> {
  await page.evaluate(
    ([base64, fileName]) => {
      const data = new DataTransfer();
      const content = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      data.items.add(new File([content], fileName));
      const target = document.getElementById("drop")!;
      target.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    },
    [bytes.toString("base64"), name],
  );
}

const dropPicture = (page: Page, name: string) => drop(page, name, readFileSync(`${images}${name}`));

async function ask(page: Page, question: string): Promise<string> {
  await page.locator("#question").fill(question);
  await page.locator("#ask").click();
  await page.locator("#figures:not(:empty), #error:not([hidden])").first().waitFor({ timeout: 280_000 });
  return page.locator("#answer").innerText();
}

const cases = (JSON.parse(readFileSync(`${images}questions.json`, "utf8")) as Example[]).filter(({ image }) =>
  ["shapes.png", "receipt.png"].includes(image),
);

describe.each([
  { name: "isolated: several threads", headers: isolation, device: "cpu" },
  { name: "without the headers of isolation: one thread", headers: {}, device: "cpu" },
  { name: "on the GPU", headers: isolation, device: "webgpu" },
])("the page, $name", ({ headers, device }) => {
  let server: RangeServer;
  beforeAll(async () => {
    server = await serveRanges({ "/": built }, { headers });
  });
  afterAll(() => server.close());

  it("answers about a dropped picture, and says what it runs on", async () => {
    const { page, problems } = await openPage(`${server.origin}/?device=${device}`);
    const isolated = headers === isolation;
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
    expect(await page.locator("#status").innerText()).toContain(device === "cpu" ? "WebAssembly" : "WebGPU");
    const notices = await page.locator("#notices").innerText();
    expect(notices.includes("one thread")).toBe(!isolated);
    expect(notices.includes("software")).toBe(device === "webgpu");
    expect(cases.length).toBeGreaterThan(1);
    // In software, a GPU takes its time: one picture will do.
    for (const { image, question, answer } of device === "cpu" ? cases : cases.slice(0, 1)) {
      await dropPicture(page, image);
      expect(await ask(page, question)).toBe(answer);
    }
    expect(problems).toEqual([]);
    await page.context().close();
  });
});

describe("the page", () => {
  let server: RangeServer;
  beforeAll(async () => {
    server = await serveRanges({ "/": built }, { headers: isolation });
  });
  afterAll(() => server.close());

  it("falls back to the processor where there is no WebGPU, and says so once", async () => {
    await using without = await openBrowser({ webgpu: false });
    const { page } = await openPage(server.origin, without);
    expect(await page.locator("#status").innerText()).toContain("WebAssembly");
    const notices = await page.locator("#notices li").allInnerTexts();
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/not on the graphics card: .*(WebGPU|adapter)/);
  });

  it("does not take an adapter that computes in software by itself, and says so once", async () => {
    const { page } = await openPage(server.origin);
    expect(await page.locator("#status").innerText()).toContain("WebAssembly");
    const notices = await page.locator("#notices li").allInnerTexts();
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/swiftshader.*software/i);
    await page.context().close();
  });

  it("shows what is wrong with a file, and goes on", async () => {
    const { page } = await openPage(`${server.origin}/?device=cpu`);
    await drop(page, "notes.txt", Buffer.from("no picture"));
    await ask(page, "What is this?");
    expect(await page.locator("#error").innerText()).toContain("cannot be read as a picture");
    await dropPicture(page, cases[0].image);
    expect(await ask(page, cases[0].question)).toBe(cases[0].answer);
    expect(await page.locator("#error").isHidden()).toBe(true);
    await page.context().close();
  });

  it("shows what is wrong with an address", async () => {
    const { page } = await openPage(`${server.origin}/?model=/no/such/folder/`);
    expect(await page.locator("#error").innerText()).toContain(
      "/no/such/folder/config.json: the server answers 404",
    );
    expect(await page.locator("#status").innerText()).toBe("No model.");
    await page.context().close();
  });

  it("cancels a download, and an answer", async () => {
    server.fault = ({ url }) => url!.endsWith(".safetensors");
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${server.origin}/?device=cpu`);
    await page.waitForTimeout(500);
    await page.locator("#cancel").click();
    await expect.poll(() => page.locator("#figures").innerText()).toBe("Cancelled.");
    server.fault = undefined;
    await page.reload();
    await page.locator("#ask:enabled").waitFor();
    await dropPicture(page, "form.png");
    await page.locator("#ask").click();
    await page.locator("#cancel:enabled").click();
    await expect.poll(() => page.locator("#figures").innerText()).toBe("Cancelled.");
    expect(await page.locator("#ask").isEnabled()).toBe(true);
    await context.close();
  });
});

describe("npm run web", () => {
  it("serves the page with the headers of isolation, and its model by ranges", async () => {
    const server = await createServer({ configFile, logLevel: "error", server: { port: 0 } });
    try {
      await server.listen();
      const { page, problems } = await openPage(`${server.resolvedUrls!.local[0]}?device=cpu`);
      expect(problems).toEqual([]);
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
      await dropPicture(page, cases[0].image);
      expect(await ask(page, cases[0].question)).toBe(cases[0].answer);
      await page.context().close();
    } finally {
      await server.close();
    }
  });
});

interface Example {
  image: string;
  question: string;
  answer: string;
}
