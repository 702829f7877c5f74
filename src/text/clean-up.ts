/**
 * The published `clean_up_tokenization`: spaces in front of English punctuation and contractions go. InternLM2's
 * tokenizer always does it, others when `clean_up_tokenization_spaces` says so.
 */
export function cleanUpSpaces(text: string): string {
  if (!text.includes(" ")) return text;
  let cleaned = text;
  for (const [from, to] of replacements) cleaned = cleaned.replaceAll(from, to);
  return cleaned;
}

// In this order: each is made in what the one before left.
const replacements: readonly (readonly [string, string])[] = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/**
 * Where `text` can be cut so that cleaning both parts alone equals cleaning the whole, whatever follows. A replacement
 * across the cut begins with a space, and what it has before the cut is of these characters only.
 */
export function safeCleanUpCut(text: string): number {
  let cut = text.length;
  for (let at = text.length - 1; at >= 0 && " 'nvr".includes(text[at]); at--) {
    if (text[at] === " ") cut = at;
  }
  return cut;
}
