import { DeviceError, OptionError } from "../../errors.ts";
import type { Machine } from "./machine.ts";
import { openWasmMachine } from "./wasm-machine.ts";
import { wasmFiles } from "./wasm-module.ts";

/** Every kind of processor that library.c knows. */
const nativeVariants: readonly string[] = ["baseline", "avx2", "avx512", "avx512bf16", "amx"];
const choices = ["native", "wasm", ...nativeVariants, ...Object.keys(wasmFiles)];

/** Kernels that run, and why it is these. */
export interface OpenedMachine {
  readonly machine: Machine;
  readonly why: string;
}

/**
 * The kernels for this processor: the native ones where they were built, else WebAssembly.
 * @param forced "native", "wasm", or one variant of either; the environment variable INTERNVL_CPU unless said.
 * @throws OptionError when there is no such choice, DeviceError when it does not run here.
 */
export async function openMachine(
  forced: string | undefined = environmentChoice(),
  options: { lanes?: number } = {},
): Promise<OpenedMachine | { absent: string }> {
  if (forced && !choices.includes(forced)) {
    throw new OptionError("INTERNVL_CPU", forced, `must be one of ${choices.join(", ")}`);
  }
  const isVariant = forced !== undefined && forced !== "native" && forced !== "wasm";
  const variant = isVariant ? forced : undefined;
  const wantsWasm = forced === "wasm" || (variant !== undefined && variant in wasmFiles);
  if (!forced || !wantsWasm) {
    const native = await openNative({ ...options, variant });
    if (!("absent" in native)) return { machine: native, why: forced ? forcedText(forced) : "built here" };
    if (forced) throw new DeviceError("cpu", `${native.absent} (${forcedText(forced)})`);
    const wasm = await openWasm(options);
    if (!("absent" in wasm)) return { machine: wasm, why: native.absent };
    return { absent: `${native.absent}; ${wasm.absent}` };
  }
  const wasm = await openWasm({ ...options, variant });
  if ("absent" in wasm) throw new DeviceError("cpu", `${wasm.absent} (${forcedText(forced)})`);
  return { machine: wasm, why: forcedText(forced) };
}

function forcedText(forced: string): string {
  return `INTERNVL_CPU=${forced}`;
}

function inNode(): boolean {
  return typeof process !== "undefined" && process.versions?.node !== undefined;
}

function environmentChoice(): string | undefined {
  return inNode() ? process.env.INTERNVL_CPU || undefined : undefined;
}

async function openNative(options: { variant?: string; lanes?: number }) {
  if (!inNode()) return { absent: "native kernels need Node" };
  return (await import("./native-machine.node.ts")).openNativeMachine(options);
}

async function openWasm(options: { variant?: string; lanes?: number }) {
  const host = inNode()
    ? (await import("./wasm-machine.node.ts")).nodeHost
    : (await import("./wasm-machine.web.ts")).webHost;
  return openWasmMachine(host, options);
}
