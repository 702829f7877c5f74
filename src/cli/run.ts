import { CommanderError } from "commander";
import { InternVLError, OptionError } from "../errors.ts";
import { Cancelled, exitCodes } from "./interrupts.ts";
import { makeProgram } from "./program.ts";
import { messageOf, UsageError } from "./usage.ts";
import { type Output, type World, writeOut } from "./world.ts";

/**
 * The whole command line.
 * @param args without the names of node and of the program
 * @returns what the process exits with: 0, 1 for an error, 2 for a wrong call, 130 when Ctrl-C ended it
 */
export async function run(args: readonly string[], world: World): Promise<number> {
  const { stdout, stderr, interrupts } = world;
  const onOutputError = (error: NodeJS.ErrnoException) => {
    // The reader of a pipe has seen enough (`| head`).
    interrupts.end(error.code === "EPIPE" ? new Cancelled(exitCodes.readerLeft) : error);
  };
  // Nobody is left to tell when standard error is gone.
  const ignore = () => undefined;
  stdout.on("error", onOutputError);
  stderr.on("error", ignore);
  const result = { exitCode: 0 };
  const program = makeProgram(world, result);
  try {
    await program.parseAsync(args, { from: "user" });
    await writeOut(stdout);
    interrupts.signal.throwIfAborted();
    return result.exitCode;
  } catch (error) {
    const detailed = Boolean(program.opts().verbose || world.env.DEBUG);
    return explain(interrupts.signal.aborted ? interrupts.signal.reason : error, stderr, detailed);
  } finally {
    await writeOut(stderr);
    stdout.off("error", onOutputError);
    stderr.off("error", ignore);
  }
}

/** Says on standard error what went wrong. */
function explain(error: unknown, stderr: Output, detailed: boolean): number {
  if (error instanceof Cancelled) {
    // On a terminal the answer stopped in the middle of a line.
    const start = stderr.isTTY ? "\n" : "";
    if (error.exitCode !== exitCodes.readerLeft) stderr.write(`${start}internvl: cancelled\n`);
    return error.exitCode;
  }
  // commander has said it already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const known = error instanceof InternVLError || error instanceof UsageError;
  const message =
    error instanceof InternVLError ? messageOf(error) : String((error as Error)?.message ?? error);
  stderr.write(`internvl: ${known ? "" : "unexpected: "}${message}\n`);
  if (detailed) {
    for (let cause = error; cause instanceof Error; cause = cause.cause) stderr.write(`${cause.stack}\n`);
  }
  return error instanceof UsageError || error instanceof OptionError ? 2 : 1;
}
