/** What a benchmark asks of the surroundings it runs in. */
export interface Host {
  /** For the report: processor, system, runtime. */
  readonly facts: Readonly<Record<string, string | number>>;
  /** Bytes that can still be taken. */
  availableMemory(): number;
  /** The most bytes the process has had in memory since `resetPeak`, or since its start where that can not be reset. */
  peakMemory(): number;
  resetPeak(): void;
  /** How busy the machine was lately, in processors; undefined where that is not known. */
  loadAverage(): number | undefined;
}
