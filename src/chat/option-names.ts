import { generationOptionNames } from "../engine/options.ts";
import { OptionError } from "../errors.ts";

const askNames = [
  "images",
  "video",
  "segments",
  "bound",
  "history",
  "systemMessage",
  "maxTiles",
  "minTiles",
  "exif",
  "limits",
  "signal",
  "onProgress",
];

/** Every option of a question. */
export const chatOptionNames: ReadonlySet<string> = new Set([...askNames, ...generationOptionNames]);

/** Names that users of the reference will try. */
const otherNames: Readonly<Record<string, string>> = { max_num: "maxTiles", num_segments: "segments" };

/** Throws an `OptionError` for an option that nobody would read. */
export function checkOptionNames(options: object, known: ReadonlySet<string>): void {
  for (const [name, value] of Object.entries(options)) {
    if (known.has(name) || value === undefined) continue;
    const camel = otherNames[name] ?? name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const hint = known.has(camel) ? `; it is called ${camel} here` : `; known are ${[...known].join(", ")}`;
    throw new OptionError(name, value, `is not an option${hint}`);
  }
}
