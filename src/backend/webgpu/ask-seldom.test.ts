import { afterEach, describe, expect, it } from "vitest";
import { askSeldom } from "./ask-seldom.ts";

/** As the package `webgpu` does it: asks whether the work is done in each turn, one after another, that it is given. */
function work(milliseconds: number) {
  const end = performance.now() + milliseconds;
  let asked = 0;
  const ask = () =>
    new Promise<number>((resolve) => {
      const tick = () => {
        asked++;
        if (performance.now() >= end) resolve(performance.now() - end);
        else globalThis.setImmediate(tick);
      };
      globalThis.setImmediate(tick);
    });
  return { ask, times: () => asked };
}

const { setImmediate } = globalThis;
afterEach(() => expect(globalThis.setImmediate).toBe(setImmediate));

describe("askSeldom", () => {
  it("asks a hundred times less often, and is told soon after the end", async () => {
    const often = work(30);
    await often.ask();
    const seldom = work(30);
    const late = await askSeldom(seldom.ask);
    expect(seldom.times()).toBeLessThan(60);
    expect(often.times()).toBeGreaterThan(10 * seldom.times());
    expect(late).toBeLessThan(20); // timers come late on a busy machine
  });

  it("asks at once for what is done already", async () => {
    const done = work(0);
    await askSeldom(done.ask);
    expect(done.times()).toBe(1);
  });

  it("lets others have their turns as ever, and several waits go on beside each other", async () => {
    let turns = 0;
    let stopped = false;
    const count = () => {
      turns++;
      if (!stopped) globalThis.setImmediate(count);
    };
    count();
    const all = [work(5), work(10), work(20)];
    await Promise.all(all.map(({ ask }) => askSeldom(ask)));
    stopped = true;
    expect(turns).toBeGreaterThan(20);
    for (const each of all) expect(each.times()).toBeLessThan(60);
  });

  it("leaves things as they were when asking fails", async () => {
    await expect(askSeldom(() => Promise.reject(new Error("lost")))).rejects.toThrow("lost");
    expect(() =>
      askSeldom(() => {
        throw new Error("lost at once");
      }),
    ).toThrow("lost at once");
  });
});
