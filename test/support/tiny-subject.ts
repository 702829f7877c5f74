import { readFileSync } from "node:fs";
import { nodeHost } from "../../src/benchmark/host.node.ts";
import { type Subject, subjectOf } from "../../src/benchmark/shapes.ts";
import { parseConfig } from "../../src/checkpoint/config.ts";

/** A tiny golden's dimensions, with tiles of 112 pixels and 16 tokens, and three layers. */
export function tinySubject(): Subject {
  const file = new URL("../golden/models/tiny-8b/config.json", import.meta.url);
  const config = JSON.parse(readFileSync(file, "utf8")) as { vision_config: object; llm_config: object };
  config.vision_config = { ...config.vision_config, image_size: 112, num_hidden_layers: 3 };
  config.llm_config = { ...config.llm_config, num_hidden_layers: 3 };
  return subjectOf("tiny-8b", parseConfig({ ...config, force_image_size: 112 }));
}

/** This process with less memory: what decides how much is read to find the machine's limit. */
export const smallHost = { ...nodeHost, availableMemory: () => 6e8 };
