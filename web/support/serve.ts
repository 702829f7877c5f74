import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { build } from "vite";
import { requireBuild } from "../../test/built.ts";
import { type RangeServer, serveRanges } from "../../test/support/range-server.ts";
import { isolation } from "../vite.config.ts";

export const configFile = fileURLToPath(new URL("../vite.config.ts", import.meta.url));
const folderOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The page as it is published, in a folder. */
export async function buildPage(): Promise<string> {
  await requireBuild();
  const outDir = folderOf("build/web");
  await build({ configFile, logLevel: "error", build: { outDir } });
  return outDir;
}

/** Where `serveHarness` puts its page. */
export const harnessFolder = folderOf("build/harness");

/** A server for a page with nothing but the package in it, isolated. */
export async function serveHarness(): Promise<RangeServer> {
  await requireBuild();
  const input = folderOf("web/support/harness.html");
  // What vite does for pages to load sooner wants a document, and workers have none.
  const options = { outDir: harnessFolder, rollupOptions: { input }, modulePreload: false as const };
  await build({ configFile, logLevel: "error", build: options });
  return serveRanges({ "/": harnessFolder }, { headers: isolation });
}

/** A fresh page of the harness; of a context, where several are to share what the browser keeps. */
export async function openHarness(server: RangeServer, where: Browser | BrowserContext): Promise<Page> {
  const page = await where.newPage();
  await page.goto(`${server.origin}/support/harness.html`);
  await page.waitForFunction(() => globalThis.internvl);
  return page;
}
