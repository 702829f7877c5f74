import { loadDescription } from "../checkpoint/checkpoint.ts";
import { parseConfig } from "../checkpoint/config.ts";
import { checkTensors } from "../checkpoint/expected-tensors.ts";
import { openFolder } from "../checkpoint/folder.node.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { type PublishedName, publishedConfigs } from "../checkpoint/published.ts";
import { InternVLError } from "../errors.ts";
import { type Inspection, inspectDescription, type StoredFiles } from "./inspection.ts";
import { describeInspection } from "./inspection-text.ts";
import { localFolder } from "./local-checkpoint.ts";
import type { CommonFlags } from "./program.ts";
import { forOutput, writeJson, writeLine } from "./text.ts";
import type { World } from "./world.ts";

export interface InspectFlags extends CommonFlags {
  revision?: string;
}

/** `internvl inspect`: what a checkpoint is made of, and what it needs. 1 when its tensors are not all there. */
export async function inspect(source: string, flags: InspectFlags, world: World): Promise<number> {
  const { stdout } = world;
  const inspection = Object.hasOwn(publishedConfigs, source)
    ? await inspectDescription(source, parseConfig(publishedConfigs[source as PublishedName]))
    : await inspectFolder(await localFolder(source, flags.revision, world));
  if (flags.json) writeJson(stdout, inspection);
  else writeLine(stdout, forOutput(stdout, describeInspection(inspection)));
  return inspection.stored?.complete === false ? 1 : 0;
}

async function inspectFolder(folder: string): Promise<Inspection> {
  const files = await openFolder(folder);
  try {
    const description = await loadDescription(files);
    const stored: StoredFiles = { complete: true, files: {}, tensors: {} };
    try {
      const checkpoint = await openCheckpoint(files);
      for (const { dtype, file, start, end } of [
        ...checkpoint.tensors.values(),
        ...checkpoint.unreadable.values(),
      ]) {
        stored.files[file] ??= { bytes: await files.size(file) };
        stored.tensors[dtype] ??= { count: 0, bytes: 0 };
        stored.tensors[dtype].count++;
        stored.tensors[dtype].bytes += end - start;
      }
      checkTensors(description, checkpoint);
    } catch (error) {
      // What is wrong with the weights is an answer here, not an end.
      if (!(error instanceof InternVLError)) throw error;
      stored.complete = false;
      stored.problem = error.message;
    }
    return await inspectDescription(folder, description, stored);
  } finally {
    await files.close();
  }
}
