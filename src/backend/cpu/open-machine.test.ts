import { afterEach, describe, expect, it, vi } from "vitest";
import { DeviceError, OptionError } from "../../errors.ts";
import { openMachine } from "./open-machine.ts";

const native = vi.hoisted(() => ({ absent: "" }));
vi.mock("./native-machine.node.ts", async (original) => {
  const real = await original<typeof import("./native-machine.node.ts")>();
  const openNativeMachine: typeof real.openNativeMachine = async (options) =>
    native.absent ? { absent: native.absent } : real.openNativeMachine(options);
  return { ...real, openNativeMachine };
});

afterEach(() => {
  native.absent = "";
  vi.unstubAllEnvs();
});

async function open(forced?: string) {
  const opened = await openMachine(forced, { lanes: 1 });
  if ("absent" in opened) throw new Error(opened.absent);
  const { machine, why } = opened;
  await machine.dispose();
  return { kind: machine.kind, variant: machine.variant, why };
}

describe("openMachine", () => {
  it("takes WebAssembly where the native kernels are not, and says why", async () => {
    native.absent = "no compiler here";
    expect(await open()).toMatchObject({ kind: "wasm", why: "no compiler here" });
  });

  it("is forced by the environment, or by the caller", async () => {
    vi.stubEnv("INTERNVL_CPU", "wasm");
    expect(await open()).toMatchObject({ kind: "wasm", why: "INTERNVL_CPU=wasm" });
    expect(await open("simd128")).toMatchObject({ kind: "wasm", variant: "simd128" });
    vi.stubEnv("INTERNVL_CPU", "");
    native.absent = "none";
    expect(await open()).toMatchObject({ kind: "wasm", why: "none" });
  });

  it("does not take another where one was forced", async () => {
    native.absent = "no compiler here";
    await expect(openMachine("native")).rejects.toThrow(DeviceError);
    await expect(openMachine("native")).rejects.toThrow("no compiler here (INTERNVL_CPU=native)");
    await expect(openMachine("avx2")).rejects.toThrow("INTERNVL_CPU=avx2");
  });

  it("refuses what it does not know", async () => {
    vi.stubEnv("INTERNVL_CPU", "sse");
    await expect(openMachine()).rejects.toThrow(OptionError);
    await expect(openMachine()).rejects.toThrow("must be one of native, wasm, baseline");
  });
});
