import { DeviceError } from "../../errors.ts";
import { environmentSettings, type WebGpuSettings } from "./settings.ts";

/** Used where the adapter has them; every kernel that needs one has a twin that does not. */
const wantedFeatures: readonly string[] = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
  "timestamp-query",
];

/** Asked for as large as the adapter has them. */
const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
] as const;

/** Programs that render in software: right, and slow. */
const softwareNames = /swiftshader|llvmpipe|lavapipe|softpipe|warp|basic render/i;

/** A WebGPU device, and what it is. */
export class WebGpuDevice {
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly settings: WebGpuSettings;
  readonly features: ReadonlySet<string>;
  /** What the adapter would have had, had we wanted it. */
  readonly adapterFeatures: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly isSoftware: boolean;
  #problem: DeviceError | undefined;

  constructor(gpu: GPUDevice, adapter: GPUAdapter, settings: WebGpuSettings) {
    this.gpu = gpu;
    this.info = adapter.info;
    this.settings = settings;
    this.features = new Set(gpu.features);
    this.adapterFeatures = new Set(adapter.features);
    this.limits = gpu.limits;
    this.isSoftware = this.info.isFallbackAdapter === true || softwareNames.test(this.name);
    gpu.lost.then(
      ({ reason, message }) => this.#fail(lostText(reason, message)),
      () => undefined,
    );
    gpu.addEventListener("uncapturederror", ({ error }) => this.#fail(error.message));
  }

  /** Whether kernels on matrix units (f16 operands, f32 sums, subgroups of 32) run. */
  get hasMatrixUnits(): boolean {
    const needed = ["chromium-experimental-subgroup-matrix", "shader-f16", "subgroups"];
    const { subgroupMinSize, subgroupMaxSize } = this.info;
    return (
      needed.every((name) => this.features.has(name)) && subgroupMinSize === 32 && subgroupMaxSize === 32
    );
  }

  /** For people: "NVIDIA H200 (vulkan, driver 570.1)". */
  get name(): string {
    const { vendor, architecture, device, description } = this.info;
    return [vendor, architecture, description || device].filter(Boolean).join(" ");
  }

  /**
   * Bytes that can be had, as far as that can be known before asking for them: of a software adapter the computer's.
   * WebGPU does not say what a graphics card has left.
   */
  async freeMemory(): Promise<number> {
    if (this.settings.memory !== undefined) return this.settings.memory;
    const inNode = typeof process !== "undefined" && process.versions?.node !== undefined;
    if (!this.isSoftware || !inNode) return Infinity;
    return (await import("../cpu/available-memory.node.ts")).availableMemory();
  }

  /** Throws what has gone wrong with the device since it was opened. */
  check(): void {
    if (this.#problem) throw this.#problem;
  }

  /** What was wrong, for an operation of the device that failed with `cause`. */
  explain(cause: unknown): unknown {
    return this.#problem ?? cause;
  }

  destroy(): void {
    this.#problem ??= new DeviceError("webgpu", "the device was closed");
    this.gpu.destroy();
  }

  #fail(problem: string): void {
    this.#problem ??= new DeviceError("webgpu", problem);
  }
}

function lostText(reason: string, message: string): string {
  return `the device was lost (${message.split("\n")[0] || reason}): load the model again`;
}

/**
 * The fastest adapter there is, opened.
 * @throws DeviceError when there is none: says what would help
 */
export async function openDevice(settings: WebGpuSettings = environmentSettings()): Promise<WebGpuDevice> {
  const gpu = await findGpu(settings);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) throw new DeviceError("webgpu", noAdapterText(settings));
  const features = settings.stock ? [] : wantedFeatures.filter((name) => adapter.features.has(name));
  const limits = settings.stock ? [] : wantedLimits.map((name) => [name, adapter.limits[name]]);
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredFeatures: features as GPUFeatureName[],
      requiredLimits: Object.fromEntries(limits),
    });
  } catch (cause) {
    const { message } = cause as Error;
    throw new DeviceError("webgpu", `the adapter gives no device (${message.split("\n")[0]})`, { cause });
  }
  return new WebGpuDevice(device, adapter, settings);
}

async function findGpu(settings: WebGpuSettings): Promise<GPU> {
  if (typeof process !== "undefined" && process.versions?.node) {
    return (await import("./device.node.ts")).dawnGpu(settings);
  }
  if (typeof navigator === "undefined" || !navigator.gpu) {
    throw new DeviceError(
      "webgpu",
      'this browser has no WebGPU here: use a current one over https, or device "cpu"',
    );
  }
  return navigator.gpu;
}

function noAdapterText({ adapter }: WebGpuSettings): string {
  if (adapter) return `no adapter is called ${adapter} (INTERNVL_WEBGPU)`;
  const remedy =
    typeof process !== "undefined" && process.platform === "linux"
      ? "install the graphics card's Vulkan driver (vulkaninfo must list it)"
      : "bring the graphics driver up to date";
  return `there is no adapter: ${remedy}, or use device "cpu"`;
}

/** Whether it is worth asking for an adapter that was not asked for by name. */
export async function mayHaveGraphics(): Promise<boolean> {
  if (typeof process !== "undefined" && process.versions?.node) {
    return (await import("./device.node.ts")).hasGraphicsDevice();
  }
  return typeof navigator !== "undefined" && navigator.gpu !== undefined;
}
