#!/usr/bin/env node
import { Cancelled, exitCodes, Interrupts } from "./interrupts.ts";
import { run } from "./run.ts";

const { stdin, stdout, stderr, env } = process;
const interrupts = new Interrupts(() => process.exit(exitCodes.interrupted));
process.on("SIGINT", () => interrupts.interrupt());
process.on("SIGTERM", () => interrupts.end(new Cancelled(exitCodes.terminated)));
process.on("SIGHUP", () => interrupts.end(new Cancelled(exitCodes.hungUp)));

const exitCode = await run(process.argv.slice(2), { stdin, stdout, stderr, env, interrupts });
// Not left to run dry: standard input that nobody reads any more would hold it.
process.exit(exitCode);
