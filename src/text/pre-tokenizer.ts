import { TokenizerError } from "../errors.ts";
import { escapePattern } from "./added-tokens.ts";
import { asArray, asFlag, asObject, asString, type JsonObject } from "./tokenizer-files.ts";

/** Cuts a text into the words inside which byte-level BPE merges. */
export interface PreTokenizer {
  /** Calls `onWord` for each word, left to right; the words together are the text. */
  readonly forEachWord: (text: string, onWord: (word: string) => void) => void;
  /** GPT-2's `add_prefix_space`: a text that does not begin with a space gets one. */
  readonly addPrefixSpace: boolean;
}

/** GPT-2's published pattern, also what `ByteLevel` of tokenizer.json does by itself. */
export const gpt2Pattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** Qwen2's published pattern (transformers, `tokenization_qwen2.py`). */
export const qwen2Pattern = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** One pattern over the whole text, as the tokenizers without tokenizer.json do. */
export function patternPreTokenizer(pattern: string, addPrefixSpace: boolean, file: string): PreTokenizer {
  return { forEachWord: splitter(pattern, file), addPrefixSpace };
}

/**
 * The `pre_tokenizer` of tokenizer.json: `Split` and `ByteLevel`, alone or in a `Sequence`. Errors: `TokenizerError` for
 * any other kind, and for a sequence without `ByteLevel`, which is no byte-level tokenizer.
 */
export function parsePreTokenizer(value: unknown, file: string): PreTokenizer {
  const stages: PreTokenizer["forEachWord"][] = [];
  let addPrefixSpace = false;
  let byteLevel = false;
  const read = (node: JsonObject): void => {
    const type = asString(node.type, file, "the type of pre_tokenizer");
    if (type === "Sequence") {
      for (const inner of asArray(node.pretokenizers, file, "pre_tokenizer.pretokenizers")) {
        read(asObject(inner, file, "an entry of pre_tokenizer.pretokenizers"));
      }
    } else if (type === "Split") stages.push(parseSplit(node, file));
    else if (type === "ByteLevel") {
      byteLevel = true;
      addPrefixSpace ||= asFlag(node.add_prefix_space, file, "add_prefix_space of pre_tokenizer") ?? true;
      const usesPattern = asFlag(node.use_regex, file, "use_regex of pre_tokenizer") ?? true;
      if (usesPattern) stages.push(splitter(gpt2Pattern, file));
    } else throw unsupported(file, `a pre_tokenizer of type ${JSON.stringify(type)}`);
  };
  read(asObject(value, file, "pre_tokenizer"));
  if (!byteLevel) throw unsupported(file, "a pre_tokenizer without ByteLevel");
  return { forEachWord: inSequence(stages), addPrefixSpace };
}

function parseSplit(node: JsonObject, file: string): PreTokenizer["forEachWord"] {
  const pattern = asObject(node.pattern, file, "the pattern of Split");
  const inverted = asFlag(node.invert, file, "invert of Split") ?? false;
  const keepsAll = node.behavior === "Isolated" || (node.behavior === "Removed" && inverted);
  if (!keepsAll) throw unsupported(file, `a Split with the behavior ${JSON.stringify(node.behavior)}`);
  if (pattern.String !== undefined) {
    const literal = asString(pattern.String, file, "the pattern of Split");
    return splitter(escapePattern(literal), file);
  }
  return splitter(asString(pattern.Regex, file, "the pattern of Split"), file);
}

export function unsupported(file: string, what: string): TokenizerError {
  return new TokenizerError(
    file,
    `has ${what}, which is not supported; use the tokenizer files InternVL2 publishes`,
  );
}

/**
 * A pattern of the `regex` crate, of Oniguruma or of Python's `regex`, in JavaScript's terms: there `\s` is the Unicode
 * property White_Space (JavaScript's has U+FEFF and lacks U+0085), and `(?i:…)` is not known to every engine.
 */
function translatePattern(pattern: string, file: string): RegExp {
  const source = pattern
    .replace(/\(\?i:([^()]*)\)/g, (_, body: string) => `(?:${eitherCase(body)})`)
    .replace(/\\(.)/gs, (found, letter: string) =>
      letter === "s" ? "\\p{White_Space}" : letter === "S" ? "\\P{White_Space}" : found,
    );
  try {
    return new RegExp(source, "gu");
  } catch (cause) {
    throw new TokenizerError(file, `has the pattern ${pattern}, which JavaScript cannot run`, { cause });
  }
}

function eitherCase(body: string): string {
  return body.replace(/(\\.)|([a-zA-Z])/g, (found, escaped: string | undefined) => {
    if (escaped !== undefined) return escaped;
    const [lower, upper] = [found.toLowerCase(), found.toUpperCase()];
    // The two letters outside ASCII whose case folds into it: long s and the Kelvin sign.
    const folded = lower === "s" ? "\u017F" : lower === "k" ? "\u212A" : "";
    return `[${lower}${upper}${folded}]`;
  });
}

/** The matches of the pattern, and what lies between them, as words. */
function splitter(source: string, file: string): PreTokenizer["forEachWord"] {
  const anywhere = translatePattern(source, file);
  const here = new RegExp(anywhere.source, "uy");
  const endOfWord = (text: string, at: number): number => {
    here.lastIndex = at;
    if (here.test(text) && here.lastIndex > at) return here.lastIndex;
    anywhere.lastIndex = at;
    let next = anywhere.exec(text);
    while (next !== null && next[0] === "") {
      anywhere.lastIndex += text.codePointAt(anywhere.lastIndex)! > 0xffff ? 2 : 1;
      next = anywhere.exec(text);
    }
    return next === null ? text.length : next.index;
  };
  return (text, onWord) => {
    for (let at = 0; at < text.length; ) {
      let end: number;
      try {
        end = endOfWord(text, at);
      } catch (cause) {
        // The engine's own stack: only words of several million characters reach its end.
        throw new TokenizerError(file, "cannot cut this text into words: one is too long; shorten it", {
          cause,
        });
      }
      onWord(text.slice(at, end));
      at = end;
    }
  };
}

function inSequence(stages: readonly PreTokenizer["forEachWord"][]): PreTokenizer["forEachWord"] {
  if (stages.length === 0) return (text, onWord) => onWord(text);
  return stages.reduce((outer, inner) => (text, onWord) => outer(text, (word) => inner(word, onWord)));
}
