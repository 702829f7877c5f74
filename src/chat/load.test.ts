import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden-tokenizers.ts";
import { loadSpoiled } from "../../test/support/golden.ts";
import { openBlobs } from "../checkpoint/files.ts";
import {
  CheckpointError,
  ConfigError,
  DeviceError,
  FileError,
  InternVLError,
  OptionError,
} from "../errors.ts";
import type { Progress } from "../progress.ts";
import { InternVL } from "./internvl.ts";
import type { LoadOptions, ModelSource } from "./load.ts";

const folder = goldenFolder("tiny-1b");
const empty = mkdtempSync(join(tmpdir(), "internvl-"));
afterAll(() => rmSync(empty, { recursive: true }));

/** A checkpoint in memory, without some of its files. */
function blobsWithout(...missing: string[]) {
  const names = readdirSync(folder).filter((name) => !missing.includes(name));
  return openBlobs(
    "tiny",
    new Map(names.map((name) => [name, new Blob([readFileSync(join(folder, name))])])),
  );
}

describe("InternVL.load", () => {
  it("opens a folder, tells how far it is, and says what it opened", async () => {
    const progress: Progress[] = [];
    await using model = await InternVL.load(folder, {
      device: "reference",
      precision: "f32",
      onProgress: (each) => progress.push({ ...each }),
    });
    expect(model.device).toBe("reference");
    expect(model.template.name).toBe("Hermes-2");
    expect(model.description.language.architecture).toBe("Qwen2");
    const loading = progress.filter(({ phase }) => phase === "load");
    expect(loading.at(-1)!.loaded).toBe(loading.at(-1)!.total);
    expect(loading.length).toBeGreaterThan(10);
  });

  it("opens files in memory, as a browser does, and answers as from the folder", async () => {
    await using fromFolder = await InternVL.load(folder);
    await using fromMemory = await InternVL.load(blobsWithout());
    const [a, b] = await Promise.all([
      fromFolder.chat("Hello", { maxNewTokens: 5 }),
      fromMemory.chat("Hello", { maxNewTokens: 5 }),
    ]);
    expect(a.text).toBe(b.text);
  });

  it("bounds a conversation by the context asked for, and says by how much it is exceeded", async () => {
    await using model = await InternVL.load(folder, { contextLength: 192 });
    await expect(model.chat("word ".repeat(100))).rejects.toMatchObject({
      code: "CONTEXT_LENGTH",
      limit: 191,
      message: expect.stringMatching(
        /^the prompt has \d+ tokens, \d+ more than the context of 191: ask with fewer/,
      ),
    });
    const { finishReason } = await model.chat("Hi", { maxNewTokens: 1000 });
    expect(finishReason).toBe("length");
  });
});

describe("what cannot be loaded", () => {
  const refused = async (source: ModelSource, options: object = {}): Promise<InternVLError> => {
    try {
      const model = await InternVL.load(source, options as LoadOptions);
      await model.dispose();
    } catch (error) {
      if (error instanceof InternVLError) return error;
      throw error;
    }
    throw new Error("was not refused");
  };

  it("a folder that is not there, is empty, or is a file", async () => {
    expect((await refused("./no/such/folder")).message).toContain(
      "there is no such folder, and it is no hub id",
    );
    const file = await refused(join(folder, "config.json"));
    expect(file).toBeInstanceOf(FileError);
    expect(file.message).toContain("is a file; name the folder");
    expect(await refused(empty)).toBeInstanceOf(FileError);
    expect((await refused(empty)).message).toContain("config.json: is missing; give a folder");
  });

  it("a source that is neither path, hub id nor files", async () => {
    for (const source of ["", 7, null, undefined, {}]) {
      const error = await refused(source as string);
      expect([source, error.code]).toEqual([source, "OPTION"]);
    }
  });

  it("a device, a precision or a weight format that is not here", async () => {
    const metal = await refused(folder, { device: "metal" });
    expect(metal).toBeInstanceOf(DeviceError);
    expect(metal.message).toContain("metal: there is no such device; choose one of auto");
    const int8 = await refused(folder, { device: "reference", weights: "int8" });
    expect(int8).toMatchObject({ code: "OPTION", option: "weights", value: "int8" });
    expect(await refused(folder, { precision: "f16" })).toMatchObject({ option: "precision" });
  });

  it("options by another name, and sizes out of range", async () => {
    expect((await refused(folder, { context_length: 512 })).message).toContain(
      "it is called contextLength here",
    );
    expect(await refused(folder, { dtype: "bf16" })).toBeInstanceOf(OptionError);
    expect(await refused(folder, { contextLength: 5 })).toMatchObject({ option: "contextLength", value: 5 });
    expect(await refused(folder, { cacheTokens: 1.5 })).toMatchObject({ option: "cacheTokens" });
  });

  it("another model", async () => {
    const wrong = (edit: (config: Record<string, Record<string, unknown>>) => void) =>
      loadSpoiled("tiny-1b", { config: edit });
    const llava = wrong((config) => Object.assign(config, { model_type: "llava", architectures: ["Llava"] }));
    await expect(llava).rejects.toThrow(ConfigError);
    await expect(llava).rejects.toThrow("InternVL2");
    const gemma = wrong((config) =>
      Object.assign(config.llm_config, { architectures: ["GemmaForCausalLM"] }),
    );
    await expect(gemma).rejects.toThrow(/Gemma.*Qwen2|Qwen2.*Gemma/);
    const template = wrong((config) => Object.assign(config, { template: "internvl2_5" }));
    await expect(template).rejects.toThrow(ConfigError);
  });

  it("a checkpoint without its weights, its tokenizer, or a tensor of the right shape", async () => {
    expect((await refused(blobsWithout("model.safetensors"))).message).toContain("safetensors");
    const tokenizer = await refused(blobsWithout("vocab.json", "merges.txt"));
    expect(tokenizer.code).toBe("TOKENIZER");
    const misshapen = loadSpoiled("tiny-1b", {
      config: (config) => Object.assign(config.llm_config, { intermediate_size: 100 }),
    });
    await expect(misshapen).rejects.toThrow(CheckpointError);
    await expect(misshapen).rejects.toThrow("mlp");
  });
});
