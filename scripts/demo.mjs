// npm run demo: sets a fresh clone up, then asks about a photograph. Flags are those of `internvl chat`:
//   npm run demo -- --model OpenGVLab/InternVL2-2B --image photo.jpg "What is this?"
import { spawn } from "node:child_process";
import { relative } from "node:path";
import { makeReady, root } from "./ready.mjs";

const given = process.argv.slice(2);
const has = (...flags) =>
  given.some((word) => flags.some((flag) => word === flag || word.startsWith(`${flag}=`)));
const path = (name) => relative(process.cwd(), `${root}${name}`);

makeReady();

const command = ["chat", "--verbose", ...given];
if (!has("--model", "-m")) {
  command.push("--model", path("test/golden/models/tiny-8b"));
  if (!has("--max-tiles")) command.push("--max-tiles", "6");
  if (!has("--max-tokens")) command.push("--max-tokens", "48");
  console.error(
    "This is the real pipeline on a checkpoint with random weights: the answer will be gibberish. For a real one:\n" +
      '  npm run demo -- --model OpenGVLab/InternVL2-2B --image photo.jpg "What is this?"',
  );
}
if (!has("--image", "-i", "--video")) command.push("--image", path("examples/photos/cat.jpg"));
if (!given.some((word, i) => isQuestion(word, given[i - 1]))) command.push("What is in the picture?");

console.error(
  `> internvl ${command.map((word) => (/[^\w./-]/.test(word) ? JSON.stringify(word) : word)).join(" ")}`,
);
const child = spawn(process.execPath, [`${root}dist/cli/main.js`, ...command], { stdio: "inherit" });
// Ctrl-C reaches the child by itself; this process only waits for it.
process.on("SIGINT", () => undefined);
child.on("exit", (code, signal) => process.exit(signal ? 130 : code));

/** A word that is no flag and not the value of one. */
function isQuestion(word, before) {
  if (word.startsWith("-") && word !== "-") return false;
  return (
    !(before?.startsWith("-") && !before.includes("=")) ||
    ["--offline", "--json", "-v", "--verbose"].includes(before)
  );
}
