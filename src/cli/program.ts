import { readFileSync } from "node:fs";
import { Command } from "commander";
import type { BenchFlags } from "./bench.ts";
import type { ChatFlags } from "./chat-flags.ts";
import type { InspectFlags } from "./inspect.ts";
import type { PullFlags } from "./pull.ts";
import type { TilesFlags } from "./tiles.ts";
import type { TokensFlags } from "./tokens.ts";
import { boundOf, collect, numberOf } from "./usage.ts";
import type { World } from "./world.ts";

/** What every command understands. */
export interface CommonFlags {
  json?: boolean;
  verbose?: boolean;
}

type Action = (world: World) => Promise<number | undefined>;

/**
 * The commands and their flags. Each command's code is loaded when it is called, so that `--help` is quick.
 * @param result gets what the command says the process should exit with
 */
export function makeProgram(world: World, result: { exitCode: number }): Command {
  const { stdout, stderr } = world;
  const program = new Command("internvl")
    .description("InternVL2 vision-language models: pictures, video and questions in, answers out.")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .option("--json", "print one JSON value in place of text")
    .option("-v, --verbose", "say more on standard error: timings, and where errors come from")
    .exitOverride()
    .showHelpAfterError("Try --help.")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "internvl: ")),
      getOutHelpWidth: () => stdout.columns ?? 100,
      getErrHelpWidth: () => stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText(
      "after",
      `
Examples:
  internvl chat --model OpenGVLab/InternVL2-1B --image cat.jpg "What is this?"
  internvl chat --model ./InternVL2-8B            a conversation, on a terminal
  internvl pull OpenGVLab/InternVL2-8B            download, or go on with a download
  internvl inspect 8b                             what a model needs, without downloading it

Exit codes: 0 done, 1 an error, 2 a wrong call, 130 ended by Ctrl-C.`,
    );

  const act = async (action: Action) => {
    result.exitCode = (await action(world)) ?? 0;
  };
  addChat(program, act);
  addPull(program, act);
  addInspect(program, act);
  addTiles(program, act);
  addTokens(program, act);
  addBench(program, act);
  program
    .command("doctor")
    .description("look at what this machine has: packages, ffmpeg, the hub's cache, devices")
    .action((_, command: Command) =>
      act(async (w) => (await import("./doctor.ts")).doctor(command.optsWithGlobals(), w)),
    );
  return program;
}

type Act = (action: Action) => Promise<void>;

function addChat(program: Command, act: Act): void {
  program
    .command("chat")
    .description("ask about pictures or a video; without a question, on a terminal, hold a conversation")
    .argument("[question...]", "the question; - or nothing reads it from standard input")
    .option(
      "-m, --model <source>",
      "a hub id such as OpenGVLab/InternVL2-8B, or a folder (INTERNVL_MODEL, else the built-in demo)",
    )
    .option("-i, --image <path>", "a picture: path or address; give it again for more", collect)
    .option("--video <path>", "a clip in place of pictures")
    .option("--segments <n>", "frames to take from the clip (8)", numberOf("--segments"))
    .option("--bound <start,end>", "seconds of the clip to take them from", boundOf)
    .option(
      "--max-tiles <n>",
      "most tiles a picture is cut into (the checkpoint's own)",
      numberOf("--max-tiles"),
    )
    .option("--min-tiles <n>", "fewest tiles (the checkpoint's own)", numberOf("--min-tiles"))
    .option("--system <text>", "the system message, in place of the template's")
    .option("--max-tokens <n>", "most tokens of the answer (1024)", numberOf("--max-tokens"))
    .option("--min-tokens <n>", "fewest tokens of the answer (0)", numberOf("--min-tokens"))
    .option("--temp <t>", "sample, with this temperature (1)", numberOf("--temp"))
    .option("--top-k <k>", "sample from the k likeliest tokens (50)", numberOf("--top-k"))
    .option("--top-p <p>", "sample from the likeliest tokens of this probability (1)", numberOf("--top-p"))
    .option("--seed <n>", "when sampling: the same seed, the same answer", numberOf("--seed"))
    .option("--repetition-penalty <r>", "above 1: repeat less (1)", numberOf("--repetition-penalty"))
    .option("--beams <n>", "beam search; the answer is not streamed (1)", numberOf("--beams"))
    .option(
      "--length-penalty <p>",
      "with beams: above 0 favours longer answers (1)",
      numberOf("--length-penalty"),
    )
    .option("--stop <text>", "a text that ends the answer; give it again for more", collect)
    .option("--resume <file>", "go on with a conversation that /save wrote")
    .option("--device <name>", "auto, webgpu, cpu or reference (auto)")
    .option("--precision <name>", "fast, or f32 for exactness (fast)")
    .option("--weights <name>", "checkpoint, int8 or int4: how weights are held (checkpoint)")
    .option("--context <n>", "tokens a conversation may have (the checkpoint's own)", numberOf("--context"))
    .option("--cache-tokens <n>", "tokens whose keys and values are kept", numberOf("--cache-tokens"))
    .option("--revision <name>", "branch, tag or commit of a hub repository (main)")
    .option("--offline", "use only what the hub's cache has")
    .addHelpText(
      "after",
      `
Where <image> stands in the question is where a picture goes. Without it, pictures go in front:
one as it is, several as Image-1, Image-2 and so on. --temp, --top-k or --top-p turn sampling on.

Examples:
  internvl chat -m ./InternVL2-8B -i cat.jpg "What is this?"
  internvl chat -m ./InternVL2-8B -i a.jpg -i b.jpg "What differs?"
  internvl chat -m ./InternVL2-8B --video red-panda.mp4 --segments 16 "What happens?"
  echo "Write a haiku." | internvl chat -m ./InternVL2-8B --temp 0.8 --seed 7`,
    )
    .action((question: string[], _, command: Command) =>
      act(async (w) => (await import("./chat.ts")).chat(question, command.optsWithGlobals<ChatFlags>(), w)),
    );
}

function addPull(program: Command, act: Act): void {
  program
    .command("pull")
    .description("download a checkpoint into the hub's cache, or go on with a download; print its folder")
    .argument("<repository>", "a hub id, Org/Name")
    .option("--revision <name>", "branch, tag or commit (main)")
    .option("--cache-folder <path>", "the cache's folder (HF_HUB_CACHE)")
    .addHelpText("after", "\nExample:\n  internvl pull OpenGVLab/InternVL2-8B")
    .action((repository: string, _, command: Command) =>
      act(async (w) => (await import("./pull.ts")).pull(repository, command.optsWithGlobals<PullFlags>(), w)),
    );
}

function addInspect(program: Command, act: Act): void {
  program
    .command("inspect")
    .description("what a checkpoint is made of and needs: parameters, tensors, memory, work")
    .argument("<source>", "a folder, a hub id that was pulled, or one of 1b 2b 4b 8b 26b 40b 76b")
    .option("--revision <name>", "branch, tag or commit of a hub repository (main)")
    .addHelpText("after", "\nExamples:\n  internvl inspect 8b\n  internvl inspect ./InternVL2-8B --json")
    .action((source: string, _, command: Command) =>
      act(async (w) =>
        (await import("./inspect.ts")).inspect(source, command.optsWithGlobals<InspectFlags>(), w),
      ),
    );
}

function addTiles(program: Command, act: Act): void {
  program
    .command("tiles")
    .description("cut a picture into the tiles a model sees, or take a clip's frames, and write them as PNG")
    .argument("[image]", "a picture: path or address")
    .option("-o, --out <folder>", "where to write them; without it nothing is written")
    .option("--max-tiles <n>", "most tiles, without the thumbnail (12)", numberOf("--max-tiles"))
    .option("--min-tiles <n>", "fewest tiles (1)", numberOf("--min-tiles"))
    .option("--tile-size <n>", "a tile's side in pixels (448)", numberOf("--tile-size"))
    .option("--video <path>", "a clip in place of a picture: one tile a frame")
    .option("--segments <n>", "frames to take from the clip (8)", numberOf("--segments"))
    .option("--bound <start,end>", "seconds of the clip to take them from", boundOf)
    .addHelpText(
      "after",
      "\nExamples:\n  internvl tiles cat.jpg --out tiles\n  internvl tiles --video clip.mp4 --segments 4 --out frames",
    )
    .action((image: string | undefined, _, command: Command) =>
      act(async (w) => (await import("./tiles.ts")).tiles(image, command.optsWithGlobals<TilesFlags>(), w)),
    );
}

function addTokens(program: Command, act: Act): void {
  program
    .command("tokens")
    .description("turn a text into a model's token ids, or ids into text")
    .argument("[text...]", "the text; - or nothing reads it from standard input")
    .option(
      "-m, --model <source>",
      "a folder, or a hub id that was pulled (INTERNVL_MODEL, else the built-in demo)",
    )
    .option("--revision <name>", "branch, tag or commit of a hub repository (main)")
    .option("--decode", "the text holds ids, with spaces or commas between")
    .option("--no-special", "without the tokens that belong around a text")
    .addHelpText(
      "after",
      `
Examples:
  internvl tokens -m ./InternVL2-8B "Hello, who are you?"
  internvl tokens -m ./InternVL2-8B --decode 1 9843 346
  internvl tokens -m ./InternVL2-8B --json < page.txt`,
    )
    .action((text: string[], _, command: Command) =>
      act(async (w) => (await import("./tokens.ts")).tokens(text, command.optsWithGlobals<TokensFlags>(), w)),
    );
}

function addBench(program: Command, act: Act): void {
  program
    .command("bench")
    .description("measure how fast a model runs here, beside what this machine could do at most")
    .option("--shape <name>", "true dimensions, made-up weights: internvl2-8b, -1b to -76b (internvl2-8b)")
    .option("-m, --model <source>", "a folder, or a hub id that was pulled, in place of made-up weights")
    .option("--revision <name>", "branch, tag or commit of a hub repository (main)")
    .option("--layers <n>", "run only so many layers of tower and language model", numberOf("--layers"))
    .option("--device <name>", "auto, webgpu, cpu or reference (auto)")
    .option("--weights <format>", "checkpoint, int8 or int4 (checkpoint)")
    .option("--precision <name>", "fast, or f32 for exactness (fast)")
    .option("--tiles <n>", "tiles of the picture, 0 for none (7)", numberOf("--tiles"))
    .option("--prompt-tokens <n>", "tokens of text besides the picture (64)", numberOf("--prompt-tokens"))
    .option("--new-tokens <n>", "decode steps (32)", numberOf("--new-tokens"))
    .option("--batch <n>", "conversations that decode together (1)", numberOf("--batch"))
    .option("--repeat <n>", "how often; medians count (3)", numberOf("--repeat"))
    .option("--roofline", "a table of every kind of operation")
    .addHelpText(
      "after",
      `
Figures are held against what this machine reads and multiplies at most, measured in the same run.

Examples:
  internvl bench
  internvl bench --shape 2b --layers 4 --roofline
  internvl bench --shape 8b --weights int4 --batch 8 --json`,
    )
    .action((_, command: Command) =>
      act(async (w) => (await import("./bench.ts")).bench(command.optsWithGlobals<BenchFlags>(), w)),
    );
}

/** From package.json, which lies two folders up both in the sources and in what is built of them. */
function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
