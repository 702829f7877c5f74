import { openDevice, type WebGpuDevice } from "../../src/backend/webgpu/device.ts";
import { parseSettings } from "../../src/backend/webgpu/settings.ts";
import type { DeviceError } from "../../src/errors.ts";

/** The adapters that tests know, by what INTERNVL_WEBGPU calls them. */
const names = { lavapipe: "adapter=llvmpipe", SwiftShader: "adapter=SwiftShader" };

export type AdapterName = keyof typeof names;

const found = new Map<string, string | undefined>();

/** Those of the adapters that are here. Says once why another is not. */
export async function presentAdapters(...wanted: AdapterName[]): Promise<AdapterName[]> {
  const present: AdapterName[] = [];
  for (const name of wanted) {
    if (!found.has(name)) {
      const problem = await openDevice(parseSettings(names[name])).then(
        (device) => {
          device.destroy();
          return undefined;
        },
        (error: DeviceError) => error.message,
      );
      if (problem !== undefined) console.warn(`no ${name}: ${problem}`);
      found.set(name, problem);
    }
    if (found.get(name) === undefined) present.push(name);
  }
  return present;
}

/** A device on an adapter that is here; `words` as in INTERNVL_WEBGPU. */
export function openAdapter(name: AdapterName, words = ""): Promise<WebGpuDevice> {
  return openDevice(parseSettings(settingsFor(name, words)));
}

/** What INTERNVL_WEBGPU must be for an adapter. */
export function settingsFor(name: AdapterName, words = ""): string {
  return [names[name], words].filter(Boolean).join(",");
}
