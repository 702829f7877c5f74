import { describe, expect, it } from "vitest";
import type { Reply } from "./reply.ts";
import { ReplyStream } from "./reply-stream.ts";

const reply = { text: "done" } as Reply;
const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

/** A stream whose work and end the test holds in its hands. */
function openStream() {
  const cancelled: unknown[] = [];
  let push!: (text: string) => void;
  let resolve!: (value: Reply) => void;
  let reject!: (reason: unknown) => void;
  const stream = new ReplyStream(
    (give) => {
      push = give;
      return new Promise((yes, no) => {
        resolve = yes;
        reject = no;
      });
    },
    (reason) => {
      cancelled.push(reason);
      reject(reason);
    },
  );
  return { stream, cancelled, push, resolve, reject };
}

async function collect(stream: ReplyStream): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of stream) texts.push(text);
  return texts;
}

describe("ReplyStream", () => {
  it("gives pieces as they come, without the empty ones, and then ends", async () => {
    const { stream, push, resolve, cancelled } = openStream();
    push("a");
    const texts = collect(stream);
    await turn();
    push("");
    push("b");
    await turn();
    push("c");
    resolve(reply);
    expect(await texts).toEqual(["a", "b", "c"]);
    expect(await stream.reply).toBe(reply);
    expect(cancelled).toEqual([]);
  });

  it("has its reply whether or not anybody iterates", async () => {
    const { stream, push, resolve } = openStream();
    push("a");
    resolve(reply);
    expect(await stream.reply).toBe(reply);
    expect(await collect(stream)).toEqual(["a"]);
  });

  it("cancels the work when its reader leaves, and waits until it has ended", async () => {
    const { stream, push, cancelled } = openStream();
    push("a");
    push("b");
    for await (const piece of stream) {
      expect(piece).toEqual({ text: "a" });
      break;
    }
    expect(cancelled).toHaveLength(1);
    expect(cancelled[0]).toMatchObject({ name: "AbortError" });
    await expect(stream.reply).rejects.toBe(cancelled[0]);
  });

  it("does not cancel what is done, and throws the reader's own error", async () => {
    const { stream, push, resolve, cancelled } = openStream();
    push("a");
    resolve(reply);
    await stream.reply;
    const broken = (async () => {
      for await (const _ of stream) throw new Error("the reader's own");
    })();
    await expect(broken).rejects.toThrow("the reader's own");
    expect(cancelled).toEqual([]);
  });

  it("throws what the work throws, after the pieces that came before", async () => {
    const { stream, push, reject } = openStream();
    const failure = new Error("no more");
    push("a");
    reject(failure);
    const texts: string[] = [];
    const reading = (async () => {
      for await (const { text } of stream) texts.push(text);
    })();
    await expect(reading).rejects.toBe(failure);
    expect(texts).toEqual(["a"]);
    await expect(stream.reply).rejects.toBe(failure);
  });

  it("leaves no rejection unhandled when nobody looks", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    try {
      const { reject } = openStream();
      reject(new Error("nobody looks"));
      await turn();
    } finally {
      process.off("unhandledRejection", note);
    }
    expect(unhandled).toEqual([]);
  });

  it("can be read once", async () => {
    const { stream, resolve } = openStream();
    resolve(reply);
    await collect(stream);
    await expect(collect(stream)).rejects.toThrow("once");
  });
});
