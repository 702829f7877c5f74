import { describe, expect, it } from "vitest";
import { availableMemory } from "./available-memory.node.ts";

const files = (contents: Record<string, string>) => (path: string) => contents[path];
const meminfo = { "/proc/meminfo": "MemTotal:  999 kB\nMemAvailable:    2000 kB\nSwapFree: 0 kB\n" };

describe("availableMemory", () => {
  it("is what Linux calls available", () => {
    expect(availableMemory(files(meminfo))).toBe(2000 * 1024);
  });

  it("is bounded by what the control group leaves, version 2 or 1", () => {
    const v2 = {
      ...meminfo,
      "/sys/fs/cgroup/memory.max": "1000\n",
      "/sys/fs/cgroup/memory.current": "400\n",
    };
    expect(availableMemory(files(v2))).toBe(600);
    const v1 = {
      ...meminfo,
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1000",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1200",
    };
    expect(availableMemory(files(v1))).toBe(0);
  });

  it("takes a group without a limit as none", () => {
    const open = {
      ...meminfo,
      "/sys/fs/cgroup/memory.max": "max\n",
      "/sys/fs/cgroup/memory.current": "400\n",
    };
    expect(availableMemory(files(open))).toBe(2000 * 1024);
  });

  it("is something on this machine", () => {
    expect(availableMemory()).toBeGreaterThan(1e6);
    expect(availableMemory(() => undefined)).toBeGreaterThan(1e6);
  });
});
