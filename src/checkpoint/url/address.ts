import { OptionError } from "../../errors.ts";
import { checkName } from "../files.ts";

/** Files of a checkpoint that do not lie in one folder, by their names: what a bundler made of them. */
export interface CheckpointAddresses {
  /** What to call the checkpoint in messages. */
  readonly label: string;
  readonly addresses: Readonly<Record<string, string | URL>>;
}

/** What a relative address is relative to: the page, or the script of a worker. Undefined in Node. */
function pageAddress(): string | undefined {
  const { document, location } = globalThis as { document?: Document; location?: Location };
  return document?.baseURI ?? location?.href;
}

/**
 * The address of a folder, with a slash at its end; undefined for what is no address: a hub id, or a path in Node. In a
 * page, "/models/x", "./x" and "../x" are addresses, too.
 * @throws OptionError for an address that is not on the web, or has a password in it
 */
export function folderAddress(source: string | URL): URL | undefined {
  const base = pageAddress();
  const text = String(source);
  const relative = base !== undefined && /^\.{0,2}\//.test(text);
  if (!(source instanceof URL) && !relative && !/^[a-z][a-z+.-]+:\/\//i.test(text)) return undefined;
  const wrong = (problem: string) => new OptionError("source", withoutPassword(text), problem);
  if (!URL.canParse(text, base)) throw wrong("is not an address");
  const url = new URL(text, base);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw wrong("a checkpoint's address begins with https: or http:; of a folder here give the path");
  if (url.username || url.password)
    throw wrong("an address with a user or password is not fetched; send headers through the option fetch");
  if (/\.(json|safetensors|html?)$/.test(url.pathname))
    throw wrong("give the address of the folder, not of a file in it");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  url.hash = "";
  return url;
}

/** The address of a file in a folder. The folder's query, which may be what gives access, goes with it. */
export function fileAddress(folder: URL, name: string): URL {
  checkName(name);
  const url = new URL(folder);
  url.pathname += name.split("/").map(encodeURIComponent).join("/");
  return url;
}

/** The address of each file. Undefined where a list has none of a name. */
export function addressFinder(source: URL | CheckpointAddresses): (name: string) => URL | undefined {
  if (source instanceof URL) return (name) => fileAddress(source, name);
  const { addresses } = source;
  return (name) => {
    checkName(name);
    return Object.hasOwn(addresses, name) ? new URL(addresses[name], pageAddress()) : undefined;
  };
}

/** An address as messages show it: without its query, which may be a secret. */
export function shownAddress(url: URL): string {
  if (url.protocol === "data:") return `${url.href.slice(0, 40)}…`;
  return `${url.origin}${url.pathname}`;
}

function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/@]*@/, "//");
}
