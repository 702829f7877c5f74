import type { WebGpuDevice } from "./device.ts";
import type { Kernel } from "./kernel.ts";
import type { Dispatch } from "./lower/dispatch.ts";
import type { Choice, Variant } from "./lower/variant.ts";
import type { Finding } from "./variants.ts";

/** A finding, and which code it was found with. */
interface Kept extends Finding {
  readonly code: string;
}

/** Findings by the name of the choice. */
export type KeptFindings = Record<string, Kept>;

/**
 * Which variant was found fastest, for each choice: on this adapter, with the kernels as they are now. In Node, findings
 * outlive the process in a file.
 */
export class Choices {
  readonly #device: WebGpuDevice;
  readonly #found = new Map<string, Kept>();
  /** Choices whose code was compared with that of their finding. */
  readonly #checked = new Set<string>();
  #recalled: Promise<void> | undefined;

  constructor(device: WebGpuDevice) {
    this.#device = device;
  }

  /** The name of the variant to take; undefined when that is to be found out. */
  find(choice: Choice, build: (variant: Variant) => Dispatch[]): string | undefined {
    const kept = this.#found.get(choice.name);
    if (kept && this.#checked.has(choice.name)) return kept.variant;
    // Building all variants also takes their scratch into account.
    const code = codeOf(choice, build);
    if (kept?.code !== code) return undefined;
    this.#checked.add(choice.name);
    return kept.variant;
  }

  note(choice: Choice, build: (variant: Variant) => Dispatch[], finding: Finding): void {
    this.#found.set(choice.name, { ...finding, code: codeOf(choice, build) });
    this.#checked.add(choice.name);
  }

  /** All findings, by the name of the choice. */
  get findings(): ReadonlyMap<string, Finding> {
    return this.#found;
  }

  /** Reads what earlier processes have found. */
  recall(): Promise<void> {
    this.#recalled ??= this.#read();
    return this.#recalled;
  }

  /** Keeps what was found for later processes. */
  async keep(): Promise<void> {
    const file = await this.#file();
    await file?.write(this.#adapter, Object.fromEntries(this.#found));
  }

  async #read(): Promise<void> {
    const file = await this.#file();
    for (const [name, kept] of Object.entries((await file?.read(this.#adapter)) ?? {})) {
      this.#found.set(name, kept);
    }
  }

  /** What a finding holds for. */
  get #adapter(): string {
    const { info, features } = this.#device;
    const { vendor, architecture, device, description } = info;
    return [vendor, architecture, device, description, ...features].join(" ");
  }

  /** Findings on software adapters, under forced variants, or in a page, live no longer than the process. */
  async #file() {
    const { settings, isSoftware } = this.#device;
    const inNode = typeof process !== "undefined" && process.versions?.node !== undefined;
    if (!inNode || isSoftware || settings.nullDevice || settings.variant !== undefined) return undefined;
    return import("./choices.node.ts");
  }
}

/** Tells different kernels apart: a hash over the code of all variants. */
function codeOf(choice: Choice, build: (variant: Variant) => Dispatch[]): string {
  const parts = choice.variants.flatMap((variant) => [
    variant.name,
    ...build(variant).map(({ kernel }) => `${kernel.key} ${hashOf(kernel)}`),
  ]);
  return fnv(parts.join("\n")).toString(16);
}

const hashes = new WeakMap<Kernel, number>();

function hashOf(kernel: Kernel): number {
  let hash = hashes.get(kernel);
  if (hash === undefined) {
    hash = fnv(kernel.code);
    hashes.set(kernel, hash);
  }
  return hash;
}

/** FNV-1a, over UTF-16 units. */
function fnv(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
