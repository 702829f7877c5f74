import { randomUUID } from "node:crypto";
import { readlinkSync } from "node:fs";
import { link, mkdir, readFile, rename, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { sleep } from "./retry.ts";

/** How often the holder touches the lock, and how long an untouched one is respected. */
export interface LockTimes {
  heartbeatMilliseconds: number;
  staleMilliseconds: number;
  pollMilliseconds: number;
}

const usual: LockTimes = { heartbeatMilliseconds: 1_000, staleMilliseconds: 15_000, pollMilliseconds: 50 };

/**
 * Runs `work` while no other process or call holds `path`. The lock is a file made exclusively; its holder touches it every
 * second. It is taken from a holder whose process is gone, and from one who has not touched it for 15 s by the waiter's own
 * clock (file times of a network folder may come from another clock).
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  times: LockTimes = usual,
): Promise<T> {
  const mark = `${process.pid}\n${machine()}\n${randomUUID()}\n`;
  await acquire(path, mark, signal, times);
  const heartbeat = setInterval(() => {
    // A lock that was taken away shows itself when the work is done; a touch cannot mend it.
    const now = new Date();
    void utimes(path, now, now).catch(() => {});
  }, times.heartbeatMilliseconds);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if ((await readMark(path)) === mark) await unlink(path).catch(() => {});
  }
}

async function acquire(
  path: string,
  mark: string,
  signal: AbortSignal | undefined,
  times: LockTimes,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  let seen = "";
  let since = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    const touched = await stat(path).catch(() => undefined);
    if (touched === undefined && (await create(path, mark))) return;
    const holder = await readMark(path);
    if (touched === undefined || holder === undefined) continue;
    const now = `${holder}${touched.mtimeMs}`;
    if (now !== seen) {
      seen = now;
      since = performance.now();
    }
    if (isGone(holder) || performance.now() - since > times.staleMilliseconds) await take(path, holder);
    else await sleep(times.pollMilliseconds, signal);
  }
}

/** The whole mark appears at once, as a link to a finished file: a waiter never reads half of one. */
async function create(path: string, mark: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, mark);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    // A file system without hard links: exclusive creation serves, and a half-written mark is only waited for.
    return await writeFile(path, mark, { flag: "wx" }).then(
      () => true,
      (failure: NodeJS.ErrnoException) => {
        if (failure.code === "EEXIST") return false;
        throw failure;
      },
    );
  } finally {
    await unlink(draft).catch(() => {});
  }
}

/** Removes a dead holder's lock. Two waiters may try at once: who finds that it moved a live lock puts it back. */
async function take(path: string, deadMark: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if ((await readMark(aside)) !== deadMark) await link(aside, path).catch(() => {});
  await unlink(aside).catch(() => {});
}

async function readMark(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(() => undefined);
}

/** Whether the mark is of a process of this machine that no longer runs. */
function isGone(mark: string): boolean {
  const [pid, where] = mark.split("\n");
  if (where !== machine() || !/^\d+$/.test(pid ?? "")) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Process ids mean something within one machine, and on Linux within one process namespace of it. */
export function machine(): string {
  try {
    return `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}
