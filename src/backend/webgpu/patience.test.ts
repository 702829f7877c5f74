import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Patience, Usual } from "./patience.ts";

/** A device that needs so many milliseconds for each piece of work, one after another. */
function device(each: number) {
  let busyUntil = 0;
  const asked: number[] = [];
  return {
    asked,
    submit() {
      busyUntil = Math.max(busyUntil, performance.now()) + each;
      const end = busyUntil;
      return () => {
        asked.push(performance.now());
        return new Promise<number>((resolve) =>
          setTimeout(() => resolve(end), Math.max(0, end - performance.now())),
        );
      };
    },
  };
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("Patience", () => {
  it("asks at once for what it does not know yet, then when nine tenths are over", async () => {
    const patience = new Patience(true);
    const usual = new Usual();
    const { submit, asked } = device(20);
    const start = performance.now();
    const ends = [1, 2, 3].map(() => patience.end(submit(), usual));
    await vi.runAllTimersAsync();
    expect((await Promise.all(ends)).map((end) => end - start)).toEqual([20, 40, 60]);
    expect(asked.map((at) => at - start)).toEqual([0, 20, 58]);
    expect(usual.milliseconds).toBe(20);
  });

  it("does not sleep for short work, nor where asking costs nothing", async () => {
    for (const [each, sleeps] of [
      [1, true],
      [20, false],
    ] as const) {
      const patience = new Patience(sleeps);
      const usual = new Usual();
      const { submit, asked } = device(each);
      for (let i = 0; i < 3; i++) {
        const since = performance.now();
        const ended = patience.end(submit(), usual);
        await vi.runAllTimersAsync();
        await ended;
        expect(asked[i]).toBe(since);
      }
    }
  });

  it("goes on after work that failed", async () => {
    const patience = new Patience(true);
    const usual = new Usual();
    const failed = patience.end(() => Promise.reject(new Error("lost")), usual);
    const next = patience.end(async () => "done", usual);
    await expect(failed).rejects.toThrow("lost");
    await vi.runAllTimersAsync();
    expect(await next).toBe("done");
  });

  it("takes the least lately as usual, but for the first, and follows work that grows", () => {
    const usual = new Usual();
    for (const took of [1, 10, 30, 30]) usual.note(took);
    expect(usual.milliseconds).toBeCloseTo(12.1, 6);
    usual.note(5);
    expect(usual.milliseconds).toBe(5);
  });

  it("forgets a long run once a shorter one has ended unseen", async () => {
    const patience = new Patience(true);
    const usual = new Usual();
    const run = async (each: number) => {
      const since = performance.now();
      const ended = patience.end(device(each).submit(), usual);
      await vi.runAllTimersAsync();
      await ended;
      return performance.now() - since;
    };
    for (const each of [9000, 1000]) expect(await run(each)).toBe(each);
    expect(await run(5)).toBe(900);
    expect(await run(5)).toBe(5);
    expect(usual.milliseconds).toBe(5);
  });
});
