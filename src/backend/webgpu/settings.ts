import { OptionError } from "../../errors.ts";

/** What the environment variable INTERNVL_WEBGPU asks for, as words with commas between them. */
export interface WebGpuSettings {
  /** "stock": no optional feature and no limit beyond what every WebGPU device promises, as in a cautious browser. */
  readonly stock: boolean;
  /** "portable": only kernels that run everywhere, whatever the device could do. */
  readonly portable: boolean;
  /** "null": Dawn's device that compiles and checks kernels, and computes nothing. */
  readonly nullDevice: boolean;
  /** "trial": variants are tried on software adapters too, which takes long. */
  readonly trial: boolean;
  /** "adapter=NAME": the adapter whose name has NAME in it (Node). */
  readonly adapter: string | undefined;
  /** "memory=BYTES": the device's memory is taken to be this large. */
  readonly memory: number | undefined;
  /** "variant=TEXT": of a kernel's variants, those with TEXT in their key are taken where they are right. */
  readonly variant: string | undefined;
}

const name = "INTERNVL_WEBGPU";
const words = "stock, portable, null, trial, adapter=NAME, memory=BYTES, variant=TEXT";

export function parseSettings(text = ""): WebGpuSettings {
  const asked = text.split(",").filter((word) => word.trim() !== "");
  const settings = { stock: false, portable: false, nullDevice: false, trial: false };
  const values = new Map<string, string>();
  for (const word of asked) {
    const [key, value] = word.trim().split("=", 2);
    if (value === undefined && key === "stock") settings.stock = true;
    else if (value === undefined && key === "portable") settings.portable = true;
    else if (value === undefined && key === "null") settings.nullDevice = true;
    else if (value === undefined && key === "trial") settings.trial = true;
    else if (value && ["adapter", "memory", "variant"].includes(key)) values.set(key, value);
    else throw new OptionError(name, word, `must be made of ${words}`);
  }
  const memory = values.has("memory") ? Number(values.get("memory")) : undefined;
  if (memory !== undefined && !(memory >= 0)) {
    throw new OptionError(name, text, "memory must be a number of bytes");
  }
  return { ...settings, memory, adapter: values.get("adapter"), variant: values.get("variant") };
}

/** What the environment of this process asks for; in a page, nothing. */
export function environmentSettings(): WebGpuSettings {
  const inNode = typeof process !== "undefined" && process.versions?.node !== undefined;
  return parseSettings(inNode ? process.env[name] : undefined);
}
