import type { Backend, Precision } from "../backend/backend.ts";
import { CpuBackend } from "../backend/cpu/backend.ts";
import { openMachine } from "../backend/cpu/open-machine.ts";
import { mayHaveGraphics, openDevice, type WebGpuDevice } from "../backend/webgpu/device.ts";
import { DeviceError, OptionError } from "../errors.ts";
import { notify, type OnNotice } from "../notice.ts";

/** Where a model runs, and how it is held there. */
export interface BackendOptions {
  /**
   * "webgpu": a graphics card; Node needs the package `webgpu`. "cpu": C kernels, native where they were built, else as
   * WebAssembly. "reference": the same in plain TypeScript, slow. "auto" takes the fastest there is, never a WebGPU
   * adapter that computes in software. Default "auto".
   *
   * The environment variable INTERNVL_CPU forces kernels of "cpu": "native", "wasm", or one variant of either
   * ("baseline", "avx2", "avx512", "avx512bf16", "amx"; "simd128", "relaxed"). INTERNVL_WEBGPU is made of words with
   * commas between: "stock" (no optional feature), "portable" (kernels that run everywhere), "adapter=NAME",
   * "memory=BYTES" (as if the device had so much), "variant=TEXT" (kernels with TEXT in their key).
   */
  device?: "auto" | "webgpu" | "cpu" | "reference";
  /** "f32" keeps activations f32 throughout; "fast" rounds the operands of matrix products to 16 bits. Default "fast". */
  precision?: Precision;
  /**
   * How the language model's weights are held: as the checkpoint has them, or quantised at load to 8 or 4 bits ("webgpu", "cpu").
   * Default "checkpoint".
   */
  weights?: "checkpoint" | "int8" | "int4";
}

const devices: readonly string[] = ["auto", "webgpu", "cpu", "reference"];
const weightFormats: readonly string[] = ["checkpoint", "int8", "int4"];

/** The backend that the options ask for. @throws DeviceError when it is not there, OptionError when it can not do that. */
export async function chooseBackend(options: BackendOptions & { onNotice?: OnNotice }): Promise<Backend> {
  const { device = "auto", precision = "fast", weights = "checkpoint" } = options;
  if (!devices.includes(device)) {
    throw new DeviceError(String(device), `there is no such device; choose one of ${devices.join(", ")}`);
  }
  if (precision !== "fast" && precision !== "f32") {
    throw new OptionError("precision", precision, 'must be "fast" or "f32"');
  }
  if (!weightFormats.includes(weights)) {
    throw new OptionError("weights", weights, `must be one of ${weightFormats.join(", ")}`);
  }
  const graphics =
    device === "webgpu"
      ? await openNamed(options.onNotice)
      : device === "auto"
        ? await openGraphics(options.onNotice)
        : undefined;
  // A page loads the backend it runs on, and not the others.
  if (graphics) {
    const { WebGpuBackend } = await fetched("webgpu", import("../backend/webgpu/backend.ts"));
    return new WebGpuBackend(graphics, precision, weights);
  }
  if (device !== "reference") {
    const opened = await openMachine();
    if (!("absent" in opened)) {
      // Why there is but one thread, for one.
      if (opened.machine.note) notify(opened.machine.note, options.onNotice);
      return new CpuBackend(opened.machine, precision, weights);
    }
    if (device === "cpu") throw new DeviceError("cpu", opened.absent);
    notify(`the model runs in plain TypeScript, which is slow: ${opened.absent}`, options.onNotice);
  }
  if (weights !== "checkpoint") {
    throw new OptionError("weights", weights, 'device "reference" holds weights as the checkpoint has them');
  }
  const { ReferenceBackend } = await fetched("reference", import("../backend/reference/backend.ts"));
  return new ReferenceBackend(precision);
}

/** A backend's code, which a page may fail to get. */
async function fetched<Module>(device: string, code: Promise<Module>): Promise<Module> {
  try {
    return await code;
  } catch (cause) {
    const problem = `its code could not be loaded (${(cause as Error).message}); connect to the network and load again`;
    throw new DeviceError(device, problem, { cause });
  }
}

/** The adapter that was asked for by name; software will do. */
async function openNamed(onNotice: OnNotice | undefined): Promise<WebGpuDevice> {
  const device = await openDevice();
  if (device.isSoftware) {
    notify(`${device.name} computes in software: right, but slower than device "cpu"`, onNotice);
  }
  return device;
}

/** A real adapter, where there is one. A page that could have had one is told why it computes elsewhere. */
async function openGraphics(onNotice: OnNotice | undefined): Promise<WebGpuDevice | undefined> {
  if (!(await mayHaveGraphics())) {
    if (inPage())
      notify(
        `${elsewhere} this page has no WebGPU, which takes a current browser and an address with https`,
        onNotice,
      );
    return undefined;
  }
  let problem: string;
  try {
    const device = await openDevice();
    if (!device.isSoftware) return device;
    problem = `the adapter, ${device.name}, computes in software itself`;
    device.destroy();
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    problem = error.message;
  }
  if (inPage()) notify(`${elsewhere} ${problem}`, onNotice);
  return undefined;
}

const elsewhere = "the model runs on the processor (WebAssembly), and not on the graphics card:";

function inPage(): boolean {
  return typeof process === "undefined" || process.versions?.node === undefined;
}
