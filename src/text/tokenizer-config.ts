import { TokenizerError } from "../errors.ts";
import { AddedTokens, parseAddedToken } from "./added-tokens.ts";
import {
  asArray,
  asFlag,
  asId,
  asObject,
  asString,
  readJson,
  type TokenizerFiles,
} from "./tokenizer-files.ts";

/** What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say together. */
export interface TokenizerConfig {
  /** `tokenizer_class` without the `Fast` of the published Rust twins. */
  readonly family: string | undefined;
  readonly addBosToken: boolean | undefined;
  readonly addEosToken: boolean | undefined;
  readonly addPrefixSpace: boolean | undefined;
  readonly legacy: boolean | undefined;
  readonly cleanUpSpaces: boolean | undefined;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  /** The texts of all tokens that some field names special. */
  readonly specialTokens: ReadonlySet<string>;
  readonly addedTokens: AddedTokens;
}

const configFile = "tokenizer_config.json";
const specialFile = "special_tokens_map.json";
const addedFile = "added_tokens.json";
const namedTokens = [
  "bos_token",
  "eos_token",
  "unk_token",
  "pad_token",
  "sep_token",
  "cls_token",
  "mask_token",
];

/** Each of the three files may be absent. Errors: `TokenizerError` when one breaks its format or contradicts another. */
export function readTokenizerConfig(files: TokenizerFiles): TokenizerConfig {
  const config = files.has(configFile) ? readJson(files, configFile) : {};
  const special = files.has(specialFile) ? readJson(files, specialFile) : {};
  const added = files.has(addedFile) ? readJson(files, addedFile) : {};
  const flag = (name: string) => asFlag(config[name], configFile, name);

  const addedTokens = new AddedTokens();
  const decoder = asObject(config.added_tokens_decoder ?? {}, configFile, "added_tokens_decoder");
  for (const [key, entry] of Object.entries(decoder)) {
    const id = asId(Number(key), configFile, `the added token ${JSON.stringify(key)}`);
    addedTokens.add(
      parseAddedToken(asObject(entry, configFile, `added_tokens_decoder[${key}]`), id, configFile),
      configFile,
    );
  }
  for (const [content, value] of Object.entries(added)) {
    const id = asId(value, addedFile, content);
    addedTokens.add(parseAddedToken({ content }, id, addedFile), addedFile);
  }

  const specialTokens = new Set<string>();
  const named = new Map<string, string>();
  for (const [fields, file] of [
    [config, configFile],
    [special, specialFile],
  ] as const) {
    for (const name of namedTokens) {
      const token = tokenText(fields[name], file, name);
      if (token === undefined) continue;
      specialTokens.add(token);
      named.set(name, token);
    }
    for (const token of asArray(fields.additional_special_tokens ?? [], file, "additional_special_tokens")) {
      const text = tokenText(token, file, "an entry of additional_special_tokens");
      if (text !== undefined) specialTokens.add(text);
    }
  }

  const name = config.tokenizer_class ?? undefined;
  const className = name === undefined ? undefined : asString(name, configFile, "tokenizer_class");
  return {
    family: className?.replace(/Fast$/, ""),
    addBosToken: flag("add_bos_token"),
    addEosToken: flag("add_eos_token"),
    addPrefixSpace: flag("add_prefix_space"),
    legacy: flag("legacy"),
    cleanUpSpaces: flag("clean_up_tokenization_spaces"),
    bosToken: named.get("bos_token"),
    eosToken: named.get("eos_token"),
    specialTokens,
    addedTokens,
  };
}

/** A token is published as its text or as an object that holds it. */
function tokenText(value: unknown, file: string, where: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text =
    typeof value === "string" ? value : asString(asObject(value, file, where).content, file, where);
  if (text === "") throw new TokenizerError(file, `${where} is empty; give it its text or null`);
  return text;
}
