import type { BatchEntry } from "./batch.ts";
import type { PickRule } from "./generation.ts";
import type { Job } from "./job.ts";
import type { SequenceMemory } from "./sequence-memory.ts";

/** A piece of a step, and whose it is. `wants` is never "logits" here: tokens are chosen on the device. */
export interface PlannedEntry extends BatchEntry {
  readonly job: Job;
  readonly wants: readonly PickRule[];
}

/** Decides which jobs begin, and which of their tokens the next step computes: oldest jobs first. */
export class StepPlanner {
  readonly #jobs: readonly Job[];
  readonly #memory: SequenceMemory;
  readonly #stepTokens: number;

  /**
   * @param jobs in the order they came; whoever made the planner adds and removes them
   * @param stepTokens new tokens of one step, at most
   */
  constructor(jobs: readonly Job[], memory: SequenceMemory, stepTokens: number) {
    this.#jobs = jobs;
    this.#memory = memory;
    this.#stepTokens = stepTokens;
  }

  /** Starts jobs in the order they came, as long as there is memory for them. */
  startJobs(): void {
    for (const job of this.#jobs) {
      if (!job.started && !this.#start(job)) return;
    }
  }

  /** The tokens of the next step: all that can be computed, up to `stepTokens`. */
  plan(): PlannedEntry[] {
    const entries: PlannedEntry[] = [];
    let room = this.#stepTokens;
    for (const job of this.#jobs) {
      if (!job.started || missingBlocks(job).length > 0) continue;
      for (const sequence of job.generation.open) {
        const left = sequence.tokens.length - sequence.computed;
        const count = Math.min(left, room);
        if (sequence.picks || count === 0) continue;
        if (!this.#memory.makeRoom(sequence, count, () => this.#preempt(job, entries))) return entries;
        const wants = count === left ? job.generation.rules(sequence) : [];
        entries.push({ job, sequence, features: job.features, count, wants });
        room -= count;
      }
    }
    return entries;
  }

  /**
   * The step after one that is on its way, where that can be known: every sequence goes on with the one token that is
   * being chosen for it, and nothing else waits to be computed. A sequence that then turns out to have ended has a token
   * computed in vain.
   */
  planAhead(onTheWay: readonly PlannedEntry[]): PlannedEntry[] {
    const going = new Set(onTheWay.map(({ sequence }) => sequence));
    const open = this.#jobs.flatMap((job) => (job.started ? job.generation.open : []));
    if (open.length !== going.size || !open.every((sequence) => going.has(sequence))) return [];
    const ahead: PlannedEntry[] = [];
    for (const entry of onTheWay) {
      const { job, sequence, wants } = entry;
      const rule = wants.length === 1 ? job.generation.ruleAhead(sequence) : undefined;
      if (!rule || !this.#memory.makeRoom(sequence, 1, () => false)) return [];
      ahead.push({ ...entry, count: 1, wants: [rule] });
    }
    return ahead;
  }

  /** Looks up what of the prompt is there already. False while there is no memory for the rest beside those running. */
  #start(job: Job): boolean {
    const alone = !this.#jobs.some((other) => other.started);
    const found = this.#memory.start(job.generation.open[0], alone);
    if (found === undefined) return false;
    job.cachedTokens = found;
    job.started = true;
    return true;
  }

  /**
   * Takes the pages of the youngest job that came after `job` and is not part of the step at hand; it computes its
   * tokens again later. False if there is none.
   */
  #preempt(job: Job, planned: readonly PlannedEntry[]): boolean {
    const victim = this.#jobs
      .slice(this.#jobs.indexOf(job) + 1)
      .findLast((other) => holdsPages(other) && !planned.some((entry) => entry.job === other));
    victim?.release(this.#memory.pool);
    return victim !== undefined;
  }
}

/** The pictures of a prompt that are still to be computed and not covered by its cached prefix. */
export function missingBlocks({ generation, features }: Job) {
  return features.missing(Math.min(...generation.open.map((sequence) => sequence.computed)));
}

function holdsPages(job: Job): boolean {
  return job.generation.open.some(({ pages }) => pages.length > 0);
}
