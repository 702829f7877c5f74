import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Bench, noise, wanted } from "../../../test/hub/checkpoints.ts";
import { CompiledHub } from "../../../test/hub/processes.ts";
import { pull } from "./pull.node.ts";

let compiled: CompiledHub;
let bench: Bench;

beforeAll(() => {
  compiled = new CompiledHub();
});
afterAll(() => compiled.end());
beforeEach(async () => {
  bench = await Bench.start();
});
afterEach(() => bench.end());

const id = "Org/Tiny";
const large = "model.safetensors";

function expectWhole(): void {
  const folder = join(bench.repositoryFolder, "snapshots", bench.hub.commit);
  for (const file of Object.keys(wanted)) {
    expect(readFileSync(join(folder, file)).equals(bench.hub.files.get(file)!), file).toBe(true);
  }
  expect(bench.tree().filter((name) => /incomplete|lock/.test(name))).toEqual([]);
}

/** How many bytes of the weights went out in all. */
const served = (): number => bench.hub.gets(large).reduce((sum, { sent }) => sum + sent, 0);

describe("several at once", () => {
  it("download each file once, in one process", async () => {
    bench.hub.faults.set(large, [{ kind: "slow", piece: 50_000, milliseconds: 10 }]);
    const all = await Promise.all([1, 2, 3].map(() => pull(id, bench.options)));
    expect(new Set(all.map(({ folder }) => folder)).size).toBe(1);
    expectWhole();
    expect(served()).toBe(wanted[large]!.length);
  });

  it("download each file once, in two processes", async () => {
    bench.hub.faults.set(large, [{ kind: "slow", piece: 20_000, milliseconds: 50 }]);
    const runs = [1, 2].map(() => compiled.start(id, bench.options).done);
    expect(await Promise.all(runs)).toEqual([0, 0]);
    expectWhole();
    expect(served()).toBe(wanted[large]!.length);
    expect(bench.hub.requests.filter(({ file }) => file === "listing")).toHaveLength(2);
  });
});

describe("a process that is killed", () => {
  it("leaves what the next one continues, without a wait for its lock", async () => {
    bench.hub.files.set(large, noise(3_000_000, 5));
    bench.hub.faults.set(large, [{ kind: "slow", piece: 50_000, milliseconds: 20 }]);
    const { child, done } = compiled.start(id, bench.options);
    await new Promise<void>((resolve) => {
      child.stdout!.on("data", (data: Buffer) => {
        if (
          data
            .toString()
            .split("\n")
            .some((line) => Number(line) > 1_000_000)
        )
          resolve();
      });
    });
    child.kill("SIGKILL");
    await done;
    await expect(pull(id, { ...bench.options, offline: true })).rejects.toThrow(/not complete/);
    const kept = statSync(`${bench.blob(large)}.incomplete`).size;
    expect(kept).toBeGreaterThan(500_000);
    bench.hub.requests.length = 0;
    const start = performance.now();
    await pull(id, bench.options);
    expect(performance.now() - start).toBeLessThan(3_000);
    expectWhole();
    expect(bench.hub.gets(large).map(({ range }) => range)).toEqual([`bytes=${kept}-`]);
  });
});
