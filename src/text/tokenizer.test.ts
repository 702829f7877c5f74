import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type ExpectedTokens,
  goldenFolder,
  goldenModels,
  goldenTokenizer,
  readExpected,
  readTokenizerFiles,
  realTokenizerFolder,
} from "../../test/golden-tokenizers.ts";
import { TokenizerError } from "../errors.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

/** The texts whose ids, or whose decoded ids, are not the expected ones. */
function differing(tokenizer: Tokenizer, expected: readonly ExpectedTokens[]): string[] {
  return expected
    .filter(
      ({ text, ids, decoded }) =>
        tokenizer.encode(text).join() !== ids.join() || tokenizer.decode(ids) !== decoded,
    )
    .map(({ text }) => text);
}

describe.each(goldenModels)("the golden tokenizer %s", (model) => {
  const tokenizer = goldenTokenizer(model);
  const expected = readExpected(model);

  it("encodes and decodes every golden text as the reference does", () => {
    expect(expected.tokenizer.length).toBe(157);
    expect(differing(tokenizer, expected.tokenizer)).toEqual([]);
  });

  it("is caught when one id, or one character of the decoded text, is wrong", () => {
    const [first, ...others] = expected.tokenizer;
    const wrongId = { ...first, ids: first.ids.with(-1, first.ids.at(-1)! + 1) };
    expect(differing(tokenizer, [wrongId, ...others])).toEqual([first.text]);
    expect(differing(tokenizer, [{ ...first, decoded: ` ${first.decoded}` }])).toEqual([first.text]);
  });

  it("encodes the prompts of every golden case", () => {
    const context = tokenizer.idOf("<IMG_CONTEXT>");
    for (const { query_without_context, input_ids_runs } of expected.cases) {
      const runs = input_ids_runs.filter(([id]) => id !== context);
      const ids = runs.flatMap(([id, count]) => Array<number>(count).fill(id));
      expect(tokenizer.encode(query_without_context)).toEqual(ids);
    }
  });

  it("decodes what the golden models generated, broken characters included", () => {
    for (const { greedy, greedy_text } of expected.cases) expect(tokenizer.decode(greedy)).toBe(greedy_text);
  });

  it("finds tokens by text and by id, and gives every id its bytes", () => {
    const end = tokenizer.vocabularySize;
    for (let id = 0; id < end; id++) {
      const token = tokenizer.tokenOf(id)!;
      expect(tokenizer.idOf(token)).toBe(id);
      expect(tokenizer.bytesOf(id).length === 0).toBe(tokenizer.isSpecial(id));
    }
    expect(tokenizer.tokenOf(end)).toBeUndefined();
    expect(tokenizer.idOf("no such token")).toBeUndefined();
    const context = tokenizer.idOf("<IMG_CONTEXT>")!;
    expect(tokenizer.encode("<IMG_CONTEXT>", { addSpecial: false })).toEqual([context]);
    expect(tokenizer.decode([context], { skipSpecial: false })).toBe("<IMG_CONTEXT>");
  });

  it("begins a text by the published rule, and only when asked", () => {
    const begin = tokenizer.beginId === undefined ? [] : [tokenizer.beginId];
    expect(tokenizer.encode("")).toEqual(begin);
    expect(tokenizer.encode("", { addSpecial: false })).toEqual([]);
    expect(begin).toEqual(model === "tiny-1b" ? [] : model === "tiny-76b" ? [700] : [1]);
  });

  it("refuses ids without a token", () => {
    for (const id of [tokenizer.vocabularySize, -1, 0.5, Number.NaN, 2 ** 40]) {
      expect(() => tokenizer.decode([id])).toThrow(TokenizerError);
    }
  });

  it("gives any text back, but for the space its rules put in front and those they clean up", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        // Marks, composed characters and spaces before punctuation are not kept by design.
        fc.pre(!/[▁ ]/.test(text) && text === text.normalize("NFC"));
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it("answers a damaged file with TokenizerError or with a tokenizer, never otherwise", {
    timeout: 120_000,
  }, () => {
    const files = readTokenizerFiles(goldenFolder(model));
    const names = [...files.keys()];
    const damage = fc.record({
      name: fc.constantFrom(...names),
      at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      byte: fc.nat(255),
      kind: fc.constantFrom("change", "truncate", "remove"),
    });
    fc.assert(
      fc.property(damage, fc.string(), ({ name, at, byte, kind }, text) => {
        const damaged = new Map(files);
        const bytes = files.get(name)!.slice();
        const place = Math.floor(at * bytes.length);
        if (kind === "change") bytes[place] = byte;
        if (kind === "remove") damaged.delete(name);
        else damaged.set(name, kind === "truncate" ? bytes.subarray(0, place) : bytes);
        try {
          const tokenizer = createTokenizer(damaged);
          tokenizer.decode(tokenizer.encode(text));
        } catch (error) {
          expect(error).toBeInstanceOf(TokenizerError);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("createTokenizer", () => {
  const files = (model: string, changes: Record<string, string>) =>
    new Map([
      ...readTokenizerFiles(goldenFolder(model)),
      ...Object.entries(changes).map(([name, text]) => [name, new TextEncoder().encode(text)] as const),
    ]);
  const config = (model: string, changes: object) => {
    const text = readFileSync(join(goldenFolder(model), "tokenizer_config.json"), "utf8");
    return { "tokenizer_config.json": JSON.stringify({ ...JSON.parse(text), ...changes }) };
  };

  it("names the files it needs when there are none", () => {
    expect(() => createTokenizer(new Map())).toThrow(
      /tokenizer\.model: is missing.*vocab\.json.*tokenizer\.json/,
    );
    const lacking = files("tiny-1b", {});
    lacking.delete("merges.txt");
    expect(() => createTokenizer(lacking)).toThrow(/merges\.txt: is missing/);
  });

  it.each([
    ["tiny-1b", { "vocab.json": "[1]" }, "vocab.json"],
    ["tiny-1b", { "vocab.json": '{"a":0}' }, "vocab.json"],
    ["tiny-1b", { "vocab.json": '{"a":"0"}' }, "vocab.json"],
    ["tiny-1b", { "merges.txt": "a b c" }, "merges.txt"],
    ["tiny-1b", { "merges.txt": "no such" }, "merges.txt"],
    ["tiny-1b", { "added_tokens.json": '{"<img>":5000000000}' }, "added_tokens.json"],
    ["tiny-1b", { "added_tokens.json": '{"<img>":9000}' }, "added_tokens.json"],
    ["tiny-2b", { "tokenizer.model": "garbage" }, "tokenizer.model"],
    ["tiny-2b", { "tokenizer.model": "" }, "tokenizer.model"],
    ["tiny-2b", config("tiny-2b", { tokenizer_class: "T5Tokenizer" }), "tokenizer_config.json"],
    ["tiny-2b", config("tiny-2b", { add_bos_token: "yes" }), "tokenizer_config.json"],
    ["tiny-2b", { "special_tokens_map.json": '{"bos_token":"<none>"}' }, "tokenizer_config.json"],
    ["tiny-76b", { "tokenizer.json": "{" }, "tokenizer.json"],
    ["tiny-76b", { "tokenizer.json": '{"model":{"type":"Unigram"}}' }, "tokenizer.json"],
    ["tiny-76b", { "tokenizer.json": '{"model":{"byte_fallback":true}}' }, "tokenizer.json"],
  ] as const)("says which file of %s is wrong (case %$)", (model, changes, file) => {
    const open = () => createTokenizer(files(model, changes));
    expect(open).toThrow(TokenizerError);
    expect(open).toThrow(expect.objectContaining({ file }));
  });

  it("lets Llama's tokenizer with legacy false strip around tokens and prefix the whole text only", () => {
    const modern = createTokenizer(files("tiny-4b", config("tiny-4b", { legacy: false })));
    const ids = (text: string) => modern.encode(text, { addSpecial: false });
    const [end, user] = [modern.idOf("<|end|>")!, modern.idOf("<|user|>")!];
    // H is no piece of this small vocabulary: it is its byte.
    const [newline, letter] = [modern.idOf("<0x0A>")!, modern.idOf("<0x48>")!];
    // rstrip of <|user|> takes the newline; the stretch after it has no space in front.
    expect(ids("<|user|>\n\nH<|end|>")).toEqual([user, letter, end]);
    expect(ids("H")).toEqual([modern.idOf("▁"), letter]);
    expect(ids("<img>\nH")).toEqual([modern.idOf("<img>"), newline, letter]);
    const legacy = goldenTokenizer("tiny-4b").encode("<|user|>\nH", { addSpecial: false });
    expect(legacy).toEqual([user, modern.idOf("▁"), newline, letter]);
  });

  it("cleans up spaces where the config of a byte-level tokenizer asks for it", () => {
    const cleaning = createTokenizer(
      files("tiny-1b", config("tiny-1b", { clean_up_tokenization_spaces: true })),
    );
    expect(cleaning.decode(cleaning.encode("yes , no ."))).toBe("yes, no.");
    expect(goldenTokenizer("tiny-1b").decode(cleaning.encode("yes , no ."))).toBe("yes , no .");
  });
});

describe.skipIf(!existsSync(realTokenizerFolder))("the real tokenizer of InternVL2-2B", () => {
  let tokenizer: Tokenizer;
  beforeAll(() => {
    tokenizer = createTokenizer(readTokenizerFiles(realTokenizerFolder));
  });
  const plain = (text: string) => tokenizer.encode(text, { addSpecial: false });

  it("encodes and decodes 237 texts as the reference does", () => {
    const expected = JSON.parse(readFileSync(join(realTokenizerFolder, "expected_tokens.json"), "utf8"));
    expect(expected.length).toBe(237);
    expect(differing(tokenizer, expected)).toEqual([]);
  });

  it("has the published ids", () => {
    expect(tokenizer.vocabularySize).toBe(92553);
    expect(tokenizer.beginId).toBe(1);
    const named = ["<|im_end|>", "<|im_start|>", "<img>", "</img>", "<IMG_CONTEXT>", "</box>", "\0", "▁"];
    expect(named.map((token) => tokenizer.idOf(token))).toEqual([
      92542, 92543, 92544, 92545, 92546, 92552, 354, 262,
    ]);
  });

  it.each([
    ["Hello", [9843]],
    [" Hello", [22190]],
    ["  Hello", [387, 9843]],
    ["Hello world", [9843, 2028]],
    ["你好，世界", [77230, 60353, 68339]],
    ["😀", [243, 162, 155, 131]],
    ["🇨🇳", [243, 162, 138, 171, 243, 162, 138, 182]],
    ["2024", [638, 1311]],
    ["12345", [4575, 1889]],
    ["3.14159", [308, 281, 1101, 10981]],
    ["1000000", [1166, 540, 540]],
    ["100%", [1166, 344]],
    ["can't", [4974, 1082]],
    ["a\nb", [264, 364, 260]],
    ["naïve café", [3539, 67656, 717, 29414, 63000]],
    ["\t\tif x:", [429, 464, 991, 334]],
    ["——……", [92395, 92396]],
    ["Ａ１ａ", [66844, 65148, 92369]],
    ["可以CBS", [68251, 57658]],
    ["e\u0301", [261, 64180]],
    [" ".repeat(40), [12993]],
    ["x".repeat(40), [43666, 43666, 43666, 43666, 43666]],
    ["مرحبا", [64920, 64835, 66173, 65300, 63903]],
    ["<image>", [333, 1954, 330]],
    ["[UNUSED_TOKEN_145]", [92542]],
    [
      "<ref>dog</ref><box>[[1, 22, 333, 999]]</box>",
      [92549, 18609, 92550, 92551, 15633, 312, 328, 262, 1435, 328, 262, 8729, 328, 262, 5545, 5215, 92552],
    ],
    ["Frame1: <img></img>\n", [4529, 312, 334, 262, 92544, 92545, 364]],
    ["Please write a poem according to the image.", [5658, 3433, 395, 32914, 4251, 442, 410, 2321, 281]],
    ["describe this image", [12483, 550, 2321]],
  ])("encodes %j as published", (text, ids) => {
    expect(plain(text)).toEqual(ids);
    expect(plain(`${text}!`)).not.toEqual(ids);
  });

  it("encodes the default system message and a whole prompt", () => {
    const system = [
      60403, 69643, 68589, 76659, 71581, 69504, 60731, 61325, 68636, 68640, 74302, 60384, 60393, 60838, 60921,
      60368, 70218, 60353, 69430, 78131, 1214, 1070, 30924, 328, 262, 68625, 71042, 90861, 91468, 68925,
      72018, 60355,
    ];
    const message =
      "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";
    expect(plain(message)).toEqual(system);
    const prompt = `<|im_start|>system\n${message}<|im_end|><|im_start|>user\nHello, who are you?<|im_end|><|im_start|>assistant\n`;
    expect(tokenizer.encode(prompt)).toEqual(
      [1, 92543, 9081, 364, system, 92542, 92543, 1008, 364, 9843, 328, 1015, 657, 629, 345]
        .flat()
        .concat([92542, 92543, 525, 11353, 364]),
    );
  });
});
