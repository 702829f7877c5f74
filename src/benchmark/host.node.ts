import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { availableMemory } from "../backend/cpu/available-memory.node.ts";
import type { Host } from "./host.ts";

/** This process under Node. */
export const nodeHost: Host = {
  facts: {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    runtime: `node ${process.version}`,
  },
  availableMemory: () => availableMemory(),
  peakMemory() {
    const highWater = /^VmHWM:\s+(\d+) kB$/m.exec(readStatus())?.[1];
    return (highWater ? Number(highWater) : process.resourceUsage().maxRSS) * 1024;
  },
  resetPeak() {
    try {
      writeFileSync("/proc/self/clear_refs", "5");
    } catch {
      // Only Linux can, and not in every container: the peak is then that since the start.
    }
  },
  loadAverage: () => (process.platform === "win32" ? undefined : loadavg()[0]),
};

function readStatus(): string {
  try {
    return readFileSync("/proc/self/status", "utf8");
  } catch {
    return "";
  }
}
