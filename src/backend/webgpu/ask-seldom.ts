/**
 * Whether a promise of WebGPU is fulfilled by asking the device again and again: so does the package `webgpu` in Node.
 * Browsers tell their pages.
 */
export const isAsked = typeof process !== "undefined" && process.versions?.node !== undefined;

/** Milliseconds between two askings: a share of the time since the first, within bounds. */
const pause = { share: 0.2, least: 0.05, most: 1 };

/**
 * What `ask` gives, a promise of WebGPU, while the device is asked seldom.
 *
 * By itself the package `webgpu` asks in every turn of the event loop, some 75 times a millisecond, and leaves a function
 * with a finalizer behind each time: some 40 ms of garbage collection each second, in which the device runs dry
 * (SPEED.md). It takes each turn by calling the global `setImmediate`, which is another for the length of that call here:
 * one that waits. Should the package come to take its turns in another way, it only asks more often again.
 */
export function askSeldom<T>(ask: () => Promise<T>): Promise<T> {
  if (!isAsked) return ask();
  const first = performance.now();
  let isFirst = true;
  const within = <R>(call: () => R): R => {
    const turn = globalThis.setImmediate;
    globalThis.setImmediate = ((again: () => void) => later(again, turn)) as typeof setImmediate;
    try {
      return call();
    } finally {
      globalThis.setImmediate = turn;
    }
  };
  const later = (again: () => void, turn: typeof setImmediate): void => {
    const now = performance.now();
    const wait = isFirst ? 0 : Math.max(pause.least, (now - first) * pause.share);
    isFirst = false;
    if (wait >= pause.most) {
      setTimeout(() => within(again), pause.most);
      return;
    }
    const look = (): void => {
      if (performance.now() - now < wait) turn(look);
      else within(again);
    };
    turn(look);
  };
  return within(ask);
}
