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
    const first = patience.end(submit(), usual);
    const second = patience.end(submit(), usual);
    await vi.runAllTimersAsync();
    expect([await first, await second].map((end) => end - start)).toEqual([20, 40]);
    expect(asked.map((at) => at - start)).toEqual([0, 38]);
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

  it("takes the least lately as usual, and follows work that grows", () => {
    const usual = new Usual();
    for (const took of [10, 30, 30]) usual.note(took);
    expect(usual.milliseconds).toBeCloseTo(10.404, 6);
    usual.note(5);
    expect(usual.milliseconds).toBe(5);
  });
});
