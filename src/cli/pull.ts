import { pull as pullFromHub } from "../checkpoint/hub/pull.node.ts";
import type { CommonFlags } from "./program.ts";
import { showProgress } from "./progress-bars.ts";
import { writeJson, writeLine } from "./text.ts";
import type { World } from "./world.ts";

export interface PullFlags extends CommonFlags {
  revision?: string;
  cacheFolder?: string;
}

/** `internvl pull`: brings a checkpoint of the hub into the cache, and prints its folder. */
export async function pull(repository: string, flags: PullFlags, world: World): Promise<undefined> {
  const { stdout, env, interrupts } = world;
  const { revision, cacheFolder } = flags;
  const bars = showProgress(world);
  try {
    const snapshot = await pullFromHub(repository, {
      revision,
      cacheFolder,
      environment: env,
      signal: interrupts.signal,
      onProgress: bars.onProgress,
    });
    bars.clear();
    if (flags.json) writeJson(stdout, snapshot);
    else writeLine(stdout, snapshot.folder);
  } finally {
    bars.clear();
  }
}
