import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { machine, withLock } from "./lock.node.ts";
import { sleep } from "./retry.ts";

const folders: string[] = [];

function lockPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "internvl-lock-"));
  folders.push(folder);
  return join(folder, "x.lock");
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const quick = { heartbeatMilliseconds: 20, staleMilliseconds: 150, pollMilliseconds: 5 };

describe("withLock", () => {
  it("lets one in at a time, and leaves nothing behind", async () => {
    const path = lockPath();
    let inside = 0;
    let most = 0;
    const visit = (): Promise<void> =>
      withLock(
        path,
        undefined,
        async () => {
          most = Math.max(most, ++inside);
          await sleep(5, undefined);
          inside--;
        },
        quick,
      );
    await Promise.all(Array.from({ length: 8 }, visit));
    expect(most).toBe(1);
    expect(readdirSync(dirname(path))).toEqual([]);

    // The same visitors without the lock meet, or the check above says nothing.
    most = 0;
    const unlocked = async (): Promise<void> => {
      most = Math.max(most, ++inside);
      await sleep(5, undefined);
      inside--;
    };
    await Promise.all(Array.from({ length: 8 }, unlocked));
    expect(most).toBeGreaterThan(1);
  });

  it("is released when the work fails", async () => {
    const path = lockPath();
    await expect(withLock(path, undefined, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await withLock(path, undefined, async () => 1)).toBe(1);
  });

  it("respects a holder that keeps touching it, for longer than a stale one", async () => {
    const path = lockPath();
    const order: string[] = [];
    const long = withLock(
      path,
      undefined,
      async () => {
        await sleep(400, undefined);
        order.push("long");
      },
      quick,
    );
    await sleep(20, undefined);
    await withLock(
      path,
      undefined,
      async () => {
        order.push("next");
      },
      quick,
    );
    await long;
    expect(order).toEqual(["long", "next"]);
  });

  it("takes the lock of an unknown holder that is not touched, whatever its file time says", async () => {
    for (const age of [-3600, 0, 3600]) {
      const path = lockPath();
      writeFileSync(path, "1\nanother machine\nx\n");
      const time = Date.now() / 1000 + age;
      utimesSync(path, time, time);
      const start = performance.now();
      await withLock(path, undefined, async () => {}, quick);
      expect(performance.now() - start).toBeGreaterThan(quick.staleMilliseconds - 20);
      expect(existsSync(path)).toBe(false);
    }
  });

  it("takes the lock of a killed process of this machine at once", async () => {
    const path = lockPath();
    const child = spawn(process.execPath, ["-e", ""]);
    await new Promise((resolve) => child.on("exit", resolve));
    expect(machine()).toContain(hostname());
    writeFileSync(path, `${child.pid}\n${machine()}\nx\n`);
    const start = performance.now();
    await withLock(path, undefined, async () => {});
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  it("stops waiting when the signal is aborted", async () => {
    const path = lockPath();
    writeFileSync(path, "1\nanother machine\nx\n");
    const reason = new Error("enough");
    const start = performance.now();
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    await expect(withLock(path, controller.signal, async () => {})).rejects.toBe(reason);
    expect(performance.now() - start).toBeLessThan(200);
    await expect(withLock(path, AbortSignal.abort(reason), async () => {})).rejects.toBe(reason);
  });
});
