import { readFileSync } from "node:fs";
import { freemem } from "node:os";

/**
 * Bytes a process can still take without the system running out: what Linux calls available (free, or cache that can be
 * given up), within the limit of its control group where there is one; elsewhere what is free.
 */
export function availableMemory(read: (path: string) => string | undefined = readText): number {
  const meminfo = /^MemAvailable:\s+(\d+) kB$/m.exec(read("/proc/meminfo") ?? "");
  const system = meminfo ? Number(meminfo[1]) * 1024 : freemem();
  return Math.max(0, Math.min(system, ...groupLimits(read)));
}

/** What the control group (version 2, then 1) leaves, of its limit. */
function groupLimits(read: (path: string) => string | undefined): number[] {
  const pairs = [
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"],
    ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"],
  ];
  return pairs.flatMap(([limitPath, usedPath]) => {
    const [limit, used] = [limitPath, usedPath].map((path) => Number(read(path)?.trim() || Number.NaN));
    return Number.isFinite(limit) && Number.isFinite(used) ? [limit - used] : [];
  });
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
