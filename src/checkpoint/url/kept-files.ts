/** Files of addresses, kept in the browser in blocks: each block stands for itself, so that half a file is of use. */

import { notify, type OnNotice } from "../../notice.ts";
import { shownAddress } from "./address.ts";
import { openPageStore } from "./open-store.ts";
import type { RemoteFacts } from "./server.ts";
import type { PageStore } from "./store.ts";

/** One file of an address, of one version. */
export interface KeptFile {
  read(block: number, bytes: number): Promise<Uint8Array | undefined>;
  /** Keeps a block, if the browser lets it. */
  write(block: number, bytes: Uint8Array): Promise<void>;
}

/** What stands in the file `facts` of each folder. */
export interface KeptFacts {
  readonly url: string;
  readonly size: number;
  readonly version: string;
  /** The first bytes, in base64. */
  readonly head: string;
}

export const factsName = "facts";

/** The store of a loading, which says once when the browser will not keep more. */
export class KeptFiles {
  readonly #store: PageStore;
  readonly #onNotice: OnNotice | undefined;
  #full = false;

  private constructor(store: PageStore, onNotice: OnNotice | undefined) {
    this.#store = store;
    this.#onNotice = onNotice;
  }

  /** @returns undefined where nothing can be kept, which is said in pages. */
  static async open(onNotice: OnNotice | undefined): Promise<KeptFiles | undefined> {
    const store = await openPageStore();
    if (store) return new KeptFiles(store, onNotice);
    if (typeof document !== "undefined") {
      notify(
        "this page can not keep the checkpoint, and downloads it at every visit: the browser keeps files for pages that came by https: (or from localhost), not in a private window",
        onNotice,
      );
    }
    return undefined;
  }

  /** What is known of an address from an earlier visit. */
  async facts(url: URL): Promise<RemoteFacts | undefined> {
    const kept = await readFacts(this.#store, await folderOf(url));
    return kept && { size: kept.size, version: kept.version, head: fromBase64(kept.head) };
  }

  /** The kept blocks of a file; those of another version are removed. Undefined where it has no version. */
  async file(url: URL, { size, version, head }: RemoteFacts): Promise<KeptFile | undefined> {
    if (version === undefined) return undefined;
    const folder = await folderOf(url);
    const before = await readFacts(this.#store, folder);
    if (before?.version !== version || before.size !== size) {
      await this.#store.remove(folder).catch(() => undefined);
      const facts: KeptFacts = { url: shownAddress(url), size, version, head: toBase64(head) };
      await this.#write(folder, factsName, new TextEncoder().encode(JSON.stringify(facts)));
    }
    // The version is in the name, for another page may still be writing blocks of the one before.
    const digest = (await digestOf(version)).slice(0, 16);
    const nameOf = (block: number) => `${digest}-${block}`;
    return {
      read: async (block, bytes) => {
        const kept = await this.#store.read([folder, nameOf(block)]);
        return kept?.length === bytes ? kept : undefined;
      },
      write: (block, bytes) => this.#write(folder, nameOf(block), bytes),
    };
  }

  async #write(folder: string, file: string, bytes: Uint8Array): Promise<void> {
    if (this.#full) return;
    try {
      await this.#store.write([folder, file], bytes);
    } catch (error) {
      // A folder that another page has just removed is nothing to speak of.
      if ((error as Error).name !== "QuotaExceededError" || this.#full) return;
      this.#full = true;
      // What browsers say of the quota is not what they hold a page to; of the use, it is.
      const { usage = 0 } = await navigator.storage.estimate();
      notify(
        `the browser keeps no more for this page than the ${(usage / 1e6).toFixed(0)} MB it has: the rest of the checkpoint is downloaded again at the next visit; clearCheckpointCache() makes room`,
        this.#onNotice,
      );
    }
  }
}

export async function readFacts(store: PageStore, folder: string): Promise<KeptFacts | undefined> {
  const bytes = await store.read([folder, factsName]);
  if (!bytes) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as KeptFacts;
  } catch {
    return undefined;
  }
}

/** The query is left out: it may change from visit to visit, and the version says whether the bytes are the same. */
function folderOf(url: URL): Promise<string> {
  return digestOf(shownAddress(url));
}

async function digestOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
