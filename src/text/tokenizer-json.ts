import { TokenizerError } from "../errors.ts";
import { type AddedToken, parseAddedToken } from "./added-tokens.ts";
import { ByteLevel, parsePair } from "./byte-level.ts";
import { parsePreTokenizer, unsupported } from "./pre-tokenizer.ts";
import { asArray, asFlag, asId, asObject, asString, type JsonObject } from "./tokenizer-files.ts";

export interface TokenizerJson {
  readonly vocabulary: ByteLevel;
  readonly addedTokens: readonly AddedToken[];
  /** The ids the post-processor puts around a text; undefined when the file has no template. */
  readonly around: { readonly before: readonly number[]; readonly after: readonly number[] } | undefined;
}

/**
 * Reads the `tokenizer.json` of a byte-level BPE tokenizer (Hugging Face tokenizers). Errors: `TokenizerError` for a
 * file that breaks the format, and for parts that would change the ids and are not supported.
 */
export function parseTokenizerJson(json: JsonObject, file = "tokenizer.json"): TokenizerJson {
  const model = asObject(json.model, file, "model");
  if (model.type !== undefined && model.type !== "BPE") {
    throw unsupported(file, `a model of type ${JSON.stringify(model.type)}`);
  }
  if (asFlag(model.byte_fallback, file, "model.byte_fallback") === true) {
    throw new TokenizerError(
      file,
      "is a sentencepiece tokenizer in another form, which is not supported; put tokenizer.model beside it",
    );
  }
  for (const name of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    const value = model[name];
    if (value !== undefined && value !== null && value !== "" && value !== 0)
      throw unsupported(file, `model.${name}`);
  }
  const merges = asArray(model.merges, file, "model.merges").map((merge, rank): [string, string] => {
    const where = `model.merges[${rank}]`;
    if (typeof merge === "string") return parsePair(merge, file, where);
    const pair = asArray(merge, file, where);
    if (pair.length !== 2)
      throw new TokenizerError(file, `${where} is not a pair of tokens; download it again`);
    return [asString(pair[0], file, where), asString(pair[1], file, where)];
  });
  return {
    vocabulary: new ByteLevel({
      vocabulary: asObject(model.vocab, file, "model.vocab"),
      merges,
      preTokenizer: parsePreTokenizer(json.pre_tokenizer, file),
      normalize: parseNormalizer(json.normalizer, file),
      ignoreMerges: asFlag(model.ignore_merges, file, "model.ignore_merges") ?? false,
      vocabularyFile: file,
      mergesFile: file,
    }),
    addedTokens: asArray(json.added_tokens ?? [], file, "added_tokens").map((value) => {
      const entry = asObject(value, file, "an entry of added_tokens");
      return parseAddedToken(entry, asId(entry.id, file, "an added token"), file);
    }),
    around: parsePostProcessor(json.post_processor, file),
  };
}

function parseNormalizer(value: unknown, file: string): (text: string) => string {
  if (value === undefined || value === null) return (text) => text;
  const node = asObject(value, file, "normalizer");
  const type = asString(node.type, file, "the type of normalizer");
  if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD")
    return (text) => text.normalize(type);
  if (type !== "Sequence") throw unsupported(file, `a normalizer of type ${JSON.stringify(type)}`);
  const steps = asArray(node.normalizers, file, "normalizer.normalizers").map((step) =>
    parseNormalizer(step, file),
  );
  return (text) => steps.reduce((normal, step) => step(normal), text);
}

function parsePostProcessor(value: unknown, file: string): TokenizerJson["around"] {
  if (value === undefined || value === null) return undefined;
  const node = asObject(value, file, "post_processor");
  const type = asString(node.type, file, "the type of post_processor");
  if (type === "ByteLevel") return undefined;
  if (type === "TemplateProcessing") return parseTemplate(node, file);
  if (type !== "Sequence") throw unsupported(file, `a post_processor of type ${JSON.stringify(type)}`);
  const steps = asArray(node.processors, file, "post_processor.processors");
  let around: TokenizerJson["around"];
  for (const step of steps) {
    const found = parsePostProcessor(step, file);
    if (found !== undefined && around !== undefined)
      throw unsupported(file, "a post_processor with two templates");
    around ??= found;
  }
  return around;
}

function parseTemplate(node: JsonObject, file: string): TokenizerJson["around"] {
  const known = asObject(node.special_tokens ?? {}, file, "post_processor.special_tokens");
  const before: number[] = [];
  const after: number[] = [];
  let texts = 0;
  for (const value of asArray(node.single, file, "post_processor.single")) {
    const item = asObject(value, file, "an entry of post_processor.single");
    if (item.Sequence !== undefined) {
      texts++;
      continue;
    }
    const special = asObject(item.SpecialToken, file, "an entry of post_processor.single");
    const name = asString(special.id, file, "the id of a SpecialToken of post_processor");
    const entry = asObject(known[name], file, `post_processor.special_tokens[${JSON.stringify(name)}]`);
    const ids = asArray(entry.ids, file, `the ids of ${name} in post_processor`);
    (texts === 0 ? before : after).push(...ids.map((id) => asId(id, file, name)));
  }
  if (texts !== 1) throw unsupported(file, "a post_processor that does not take one text");
  return { before, after };
}
