/**
 * The words of a line, as a shell would cut it: quotes keep spaces together, and a backslash keeps the character after
 * it, so that paths dragged into a terminal work.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  const form = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+|.)/gsu;
  let word: string | undefined;
  for (const [match, single, double, escaped, plain] of line.matchAll(form)) {
    if (single !== undefined) word = (word ?? "") + single;
    else if (double !== undefined) word = (word ?? "") + double.replace(/\\(["\\$`])/g, "$1");
    else if (escaped !== undefined) word = (word ?? "") + escaped;
    else if (plain !== undefined) word = (word ?? "") + plain;
    else if (match !== "" && word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}
