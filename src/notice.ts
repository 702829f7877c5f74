/** Things that went another way than one might think, though nothing failed: a cache that is full, a slower device. */
export type OnNotice = (text: string) => void;

const said = new Set<string>();

/** Tells the listener; where there is none, warns on the console, of the same thing once. */
export function notify(text: string, onNotice?: OnNotice): void {
  if (onNotice) onNotice(text);
  else if (!said.has(text)) {
    said.add(text);
    console.warn(`internvl: ${text}`);
  }
}
