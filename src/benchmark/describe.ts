import type { BenchmarkReport } from "./report.ts";
import type { RooflineRow } from "./roofline.ts";

/** A report for people to read. */
export function describeReport(report: BenchmarkReport): string {
  const { subject, machine, measured, options, limits, load, vision, prefill, decode, extrapolated } = report;
  const lines = [
    `${subject.name}${subject.synthetic ? ", made-up weights" : ""}, ${layersText(measured)}`,
    `${machine.device}${machine.kernels ? ` (${machine.kernels}, ${machine.lanes} threads)` : ""}, ` +
      `weights ${options.weights}, precision ${options.precision}; ${machine.processor}`,
    `${options.tiles} tiles, prompt of ${measured.promptTokens} tokens, ${options.newTokens} decode steps of ` +
      `${options.batch} conversation${options.batch === 1 ? "" : "s"}, median of ${options.repeat}`,
    "",
    ...columns([
      ["", "", "", "of limit", "least", "most"],
      ["load", text(load.seconds, "s"), text(load.gigabytesPerSecond, "GB/s"), "", "", ""],
      ...(load.firstTokenSeconds === undefined
        ? []
        : [["load to token", text(load.firstTokenSeconds, "s"), "the very first", "", "", ""]]),
      ...(vision
        ? [
            [
              "vision",
              text(vision.msPerTile, "ms/tile"),
              text(vision.teraflops, "TFLOP/s"),
              percent(vision.percentOfLimit),
              text(vision.spread.min, "ms"),
              text(vision.spread.max, "ms"),
            ],
          ]
        : []),
      [
        "prefill",
        text(prefill.tokensPerSecond, "tokens/s"),
        text(prefill.teraflops, "TFLOP/s"),
        percent(prefill.percentOfLimit),
        text(prefill.spread.min, ""),
        text(prefill.spread.max, ""),
      ],
      [
        "decode",
        text(decode.tokensPerSecond, "tokens/s"),
        text(decode.gigabytesPerSecond, "GB/s"),
        percent(decode.percentOfLimit),
        text(decode.spread.min, ""),
        text(decode.spread.max, ""),
      ],
      ["first token", text(report.timeToFirstTokenMs / 1000, "s"), "", "", "", ""],
      ["JavaScript", text(report.hostMillisecondsPerStep, "ms/step"), "", "", "", ""],
      ...(decode.busyPercent === null
        ? []
        : [["device busy", `${decode.busyPercent.toFixed(1)} %`, "of decoding", "", "", ""]]),
      ["peak memory", text(report.peakMemoryBytes / 1e9, "GB"), "", "", "", ""],
    ]),
    "",
    ...(limits
      ? [
          "limits of this machine (the best of before and after)",
          ...columns([
            ["", "", "before", "after"],
            ...limitRow("read", "GB/s", limits.readGigabytesPerSecond, "readGigabytesPerSecond", limits),
            ...limitRow("f32", "TFLOP/s", limits.f32Teraflops, "f32Teraflops", limits),
            ...limitRow("bf16", "TFLOP/s", limits.bf16Teraflops, "bf16Teraflops", limits),
            ...limitRow("int8", "TOP/s", limits.int8Teraops, "int8Teraops", limits),
          ]),
        ]
      : ["the limits of this machine are not known: they are measured on webgpu and on cpu"]),
  ];
  if (extrapolated) {
    lines.push(
      "",
      "EXTRAPOLATED to all layers (not measured): " +
        [
          extrapolated.visionMsPerTile === null ? [] : [text(extrapolated.visionMsPerTile, "ms/tile")],
          `prefill ${text(extrapolated.prefillTokensPerSecond, "tokens/s")}`,
          `decode ${text(extrapolated.decodeTokensPerSecond, "tokens/s")}`,
          `first token ${text(extrapolated.timeToFirstTokenMs / 1000, "s")}`,
        ]
          .flat()
          .join(", "),
    );
  }
  if (report.roofline) lines.push("", ...describeRoofline(report.roofline));
  return lines.join("\n");
}

function layersText({ layers, layersOfTheModel: all, whole }: BenchmarkReport["measured"]): string {
  if (whole) return `all ${all.vision} + ${all.language} layers`;
  return `${layers.vision} of ${all.vision} vision layers, ${layers.language} of ${all.language} language layers`;
}

type LimitName = "readGigabytesPerSecond" | "f32Teraflops" | "bf16Teraflops" | "int8Teraops";

function limitRow(
  name: string,
  unit: string,
  best: number | null,
  field: LimitName,
  { before, after }: NonNullable<BenchmarkReport["limits"]>,
): string[][] {
  if (best === null) return [];
  return [[name, text(best, unit), text(before[field] ?? 0, ""), text(after[field] ?? 0, "")]];
}

/** The table of `--roofline`: for each phase, one tile, one prompt or one decode step. */
export function describeRoofline(rows: readonly RooflineRow[]): string[] {
  const header = [
    "",
    "operation",
    "weight",
    "times",
    "GFLOP",
    "MB",
    "ms",
    "GFLOP/s",
    "GB/s",
    "limit",
    "of it",
  ];
  return columns(
    [
      header,
      ...rows.map((row) => [
        row.operation === "all" ? row.phase : "",
        row.operation,
        row.shape,
        text(row.count, ""),
        row.flops > 0 ? text(row.flops / 1e9, "") : "",
        text(row.bytes / 1e6, ""),
        text(row.milliseconds, ""),
        row.flops > 0 ? text(row.gigaflopsPerSecond, "") : "",
        text(row.gigabytesPerSecond, ""),
        row.limit ?? "",
        percent(row.percentOfLimit),
      ]),
    ],
    3,
  );
}

/** Lines of cells; from column `left` on they stand at the right. */
function columns(rows: readonly (readonly string[])[], left = 1): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join("  ")
      .trimEnd(),
  );
}

/** Three digits that matter; a whole number as it is. */
function text(value: number | null, unit: string): string {
  if (value === null) return "";
  const digits = value >= 99.95 || Number.isInteger(value) ? 0 : value >= 9.995 ? 1 : 2;
  return `${value >= 0.9995 || value === 0 ? value.toFixed(digits) : value.toPrecision(3)} ${unit}`.trim();
}

function percent(value: number | null): string {
  return value === null ? "" : `${value.toFixed(value < 9.95 ? 1 : 0)} %`;
}
