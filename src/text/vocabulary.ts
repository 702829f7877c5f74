import { TokenizerError } from "../errors.ts";
import type { AddedToken } from "./added-tokens.ts";
import { ByteLevel, parseMerges } from "./byte-level.ts";
import { gpt2Pattern, patternPreTokenizer, qwen2Pattern } from "./pre-tokenizer.ts";
import { SentencePiece } from "./sentencepiece.ts";
import { parseSentencePieceModel } from "./sentencepiece-model.ts";
import type { TokenizerConfig } from "./tokenizer-config.ts";
import { readJson, readText, type TokenizerFiles } from "./tokenizer-files.ts";
import { parseTokenizerJson } from "./tokenizer-json.ts";
import type { InvalidBytes } from "./utf8.ts";

/** How ids become text again, beyond the bytes of each. */
export interface DecodingRules {
  /** The space that encoding puts in front of a text is taken off again. */
  readonly dropsFirstSpace: boolean;
  readonly cleansUpSpaces: boolean;
  readonly invalidBytes: InvalidBytes;
}

/** One family's way from text without added tokens to ids, and back. */
export interface Vocabulary {
  /** One more than the highest id. */
  readonly size: number;
  idOf(text: string): number | undefined;
  textOf(id: number): string | undefined;
  bytesOf(id: number): Uint8Array;
  /** Has no text although no file calls it special. */
  isControl(id: number): boolean;
  /** Appends to `ids`. `isFirst`: the stretch begins the whole text. */
  encode(text: string, isFirst: boolean, ids: number[]): void;
  /** Those that the vocabulary's own file lists. */
  readonly addedTokens: readonly AddedToken[];
  /** Added tokens swallow whitespace where their `lstrip` and `rstrip` say so. */
  readonly stripsAroundTokens: boolean;
  readonly decoding: DecodingRules;
  /** Around a text, by their ids or by their texts. */
  readonly before: readonly (number | string)[];
  readonly after: readonly (number | string)[];
}

/** Takes the files that `tokenizer_class` means. Errors: `TokenizerError` when they are missing, broken or unknown. */
export function openVocabulary(files: TokenizerFiles, config: TokenizerConfig): Vocabulary {
  const publishedAsJson = config.family === "PreTrainedTokenizer" && files.has("tokenizer.json");
  if (files.has("tokenizer.model") && !publishedAsJson) return openSentencePiece(files, config);
  if (files.has("vocab.json") && !publishedAsJson) return openVocabularyAndMerges(files, config);
  if (files.has("tokenizer.json")) return openTokenizerJson(files, config);
  throw new TokenizerError(
    "tokenizer.model",
    "is missing, and so are vocab.json and tokenizer.json; put the checkpoint's tokenizer files beside its weights",
  );
}

function openSentencePiece(files: TokenizerFiles, config: TokenizerConfig): Vocabulary {
  const file = "tokenizer.model";
  const family = config.family ?? "LlamaTokenizer";
  if (family !== "InternLM2Tokenizer" && family !== "LlamaTokenizer") throw unknownFamily(family, file);
  const model = parseSentencePieceModel(files.get(file)!, file);
  const pieces = new SentencePiece(model, file);
  const isLlama = family === "LlamaTokenizer";
  // Llama's tokenizer since `legacy: false` puts a space before the whole text only, not before every stretch.
  const isModernLlama = isLlama && config.legacy === false;
  const addsSpace = config.addPrefixSpace ?? true;
  return {
    ...lookups(pieces),
    isControl: (id) => pieces.isControl(id),
    encode: (text, isFirst, ids) =>
      pieces.encode(text, isModernLlama ? isFirst && addsSpace : model.addDummyPrefix, ids),
    // In the reference encodings a legacy tokenizer keeps the whitespace after tokens with rstrip (Phi-3's marks).
    stripsAroundTokens: isModernLlama,
    decoding: {
      dropsFirstSpace: model.addDummyPrefix || (isLlama && addsSpace),
      cleansUpSpaces: !isLlama || (config.cleanUpSpaces ?? false),
      invalidBytes: "each",
    },
    before: (config.addBosToken ?? true) ? [config.bosToken ?? "<s>"] : [],
    after: (config.addEosToken ?? false) ? [config.eosToken ?? "</s>"] : [],
    addedTokens: [],
  };
}

function openVocabularyAndMerges(files: TokenizerFiles, config: TokenizerConfig): Vocabulary {
  const [vocabularyFile, mergesFile] = ["vocab.json", "merges.txt"];
  const family = config.family ?? "Qwen2Tokenizer";
  if (family !== "Qwen2Tokenizer" && family !== "GPT2Tokenizer") throw unknownFamily(family, vocabularyFile);
  const isQwen = family === "Qwen2Tokenizer";
  const addPrefixSpace = config.addPrefixSpace ?? false;
  const vocabulary = new ByteLevel({
    vocabulary: readJson(files, vocabularyFile),
    merges: parseMerges(readText(files, mergesFile), mergesFile),
    preTokenizer: patternPreTokenizer(isQwen ? qwen2Pattern : gpt2Pattern, addPrefixSpace, vocabularyFile),
    normalize: isQwen ? (text) => text.normalize("NFC") : (text) => text,
    ignoreMerges: false,
    vocabularyFile,
    mergesFile,
  });
  return { ...byteLevel(vocabulary, config, false), ...named(config), addedTokens: [] };
}

function openTokenizerJson(files: TokenizerFiles, config: TokenizerConfig): Vocabulary {
  const { vocabulary, addedTokens, around } = parseTokenizerJson(readJson(files, "tokenizer.json"));
  // The general class cleans up unless told otherwise; the named ones do not.
  const cleansUp = config.family === "PreTrainedTokenizer";
  return {
    ...byteLevel(vocabulary, config, cleansUp),
    ...(around ?? named(config)),
    addedTokens,
  };
}

function byteLevel(vocabulary: ByteLevel, config: TokenizerConfig, cleansUp: boolean) {
  return {
    ...lookups(vocabulary),
    isControl: () => false,
    encode: (text: string, _isFirst: boolean, ids: number[]) => vocabulary.encode(text, ids),
    stripsAroundTokens: true,
    decoding: {
      dropsFirstSpace: false,
      cleansUpSpaces: config.cleanUpSpaces ?? cleansUp,
      invalidBytes: "longest",
    } as const,
  };
}

function lookups(vocabulary: SentencePiece | ByteLevel) {
  return {
    size: vocabulary.size,
    idOf: (text: string) => vocabulary.idOf(text),
    textOf: (id: number) => vocabulary.textOf(id),
    bytesOf: (id: number) => vocabulary.bytesOf(id),
  };
}

/** Byte-level tokenizers put tokens around a text only where the config both asks for them and names them. */
function named(config: TokenizerConfig): { before: string[]; after: string[] } {
  return {
    before: config.addBosToken && config.bosToken !== undefined ? [config.bosToken] : [],
    after: config.addEosToken && config.eosToken !== undefined ? [config.eosToken] : [],
  };
}

function unknownFamily(family: string, file: string): TokenizerError {
  return new TokenizerError(
    "tokenizer_config.json",
    `names the tokenizer_class ${family}, which is not known for ${file}; use the tokenizer files InternVL2 publishes`,
  );
}
