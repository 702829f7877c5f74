import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

/** Where distributions put Chromium; the environment variable CHROMIUM names another. */
const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Without a window, and without calls home. Nothing here may turn the GPU process off. */
const flags = [
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** @param webgpu Whether pages have WebGPU, on SwiftShader: without the flag there is no adapter. */
export async function openBrowser({ webgpu = true } = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: findBrowser(),
    args: webgpu ? [...flags, "--enable-unsafe-webgpu"] : flags,
  });
}

/** A browser that keeps what its pages keep in a folder, from one run of it to the next. */
export async function openLastingBrowser(folder: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(folder, { executablePath: findBrowser(), args: flags });
}

function findBrowser(): string {
  const executablePath = process.env.CHROMIUM ?? places.find((path) => existsSync(path));
  if (executablePath) return executablePath;
  throw new Error(`there is no Chromium (${places.join(", ")}): apt-get install chromium, or set CHROMIUM`);
}

/** What went wrong in a page, as it told: errors nobody caught, and what it wrote on the console as one. */
export function problemsOf(page: Page): string[] {
  const problems: string[] = [];
  page.on("pageerror", ({ message }) => problems.push(message));
  page.on("console", (line) => {
    if (line.type() === "error") problems.push(`${line.text()} (${line.location().url})`);
  });
  return problems;
}
