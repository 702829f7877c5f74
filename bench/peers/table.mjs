// The runs of all contenders as a table in Markdown.

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median, least and most of what each run says, in milliseconds. */
function figure(runs, of) {
  const values = runs.map(of).filter((value) => value !== undefined);
  if (values.length === 0) return undefined;
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

const figures = {
  prefill: (run) => run.prefill,
  decode: (run) => median(run.decode),
  tile: (run) => run.tile,
};

/**
 * What all layers would take if each took what those between the two measured numbers of layers took. Undefined when
 * more layers took no longer: then noise was measured.
 */
export function extrapolate([few, many], [a, b], all) {
  if (b <= a) return undefined;
  return b + ((all - many) * (b - a)) / (many - few);
}

const milliseconds = (value) => (value === undefined ? "" : value.toFixed(value < 100 ? 1 : 0));
const spread = (value) =>
  value && `${milliseconds(value.median)} (${milliseconds(value.least)}-${milliseconds(value.most)})`;
const row = (cells) => `| ${cells.map((cell) => cell ?? "").join(" | ")} |`;

export function tableOf({ task, counts, runs, failures, contenders, machine, loads, rounds }) {
  const { model, shape, promptTokens, newTokens } = task;
  const most = counts.at(-1);
  const all = model.language.layers;
  const extrapolates = counts.length === 2 && most < all;
  const header = [
    "engine",
    "weights",
    `prefill ${promptTokens}, ms`,
    "tokens/s",
    "decode, ms",
    "tokens/s",
    "tile, ms",
  ];
  if (extrapolates) header.push("*prefill, s*", "*decode tokens/s*");
  const lines = [
    `### InternVL2-${shape.toUpperCase()} beside other engines, ${new Date().toISOString().slice(0, 10)}`,
    "",
    `${machine}. ${most} of ${all} language layers and the head, ${Math.min(most, model.vision.layers)} of ` +
      `${model.vision.layers} tower layers, made-up weights; prompt of ${promptTokens} tokens, ${newTokens} decode steps, ` +
      `median (least-most) of ${rounds} rounds, everyone in turn. Load average ${Math.min(...loads).toFixed(1)} to ` +
      `${Math.max(...loads).toFixed(1)}.`,
    "",
    row(header),
    row(header.map((_, i) => (i < 2 ? "---" : "---:"))),
  ];
  for (const [name, byLayers] of Object.entries(runs)) {
    const { name: engine, weights } = contenders[name];
    if (failures[name]) {
      lines.push(row([engine, weights, `failed: ${failures[name]}`, ...header.slice(3).map(() => "")]));
      continue;
    }
    const of = (what, count = most) => figure(byLayers[count], figures[what]);
    const [prefill, decode, tile] = [of("prefill"), of("decode"), of("tile")];
    const cells = [engine, weights, spread(prefill), ((promptTokens / prefill.median) * 1000).toFixed(1)];
    cells.push(spread(decode), (1000 / decode.median).toFixed(2), spread(tile));
    if (extrapolates) {
      const whole = (what, text) => {
        const time = extrapolate(
          counts,
          counts.map((count) => of(what, count).median),
          all,
        );
        return time === undefined ? "only noise" : `*${text(time)}*`;
      };
      cells.push(
        whole("prefill", (time) => (time / 1000).toFixed(1)),
        whole("decode", (time) => (1000 / time).toFixed(2)),
      );
    }
    lines.push(row(cells));
  }
  lines.push("");
  if (extrapolates)
    lines.push(`*In italics: extrapolated to ${all} layers from ${counts.join(" and ")}, not measured.*`, "");
  lines.push(...limitsOf(runs));
  return lines.join("\n").trimEnd();
}

/** What the machine could do at most during our runs. */
function limitsOf(runs) {
  const limits = Object.values(runs)
    .flatMap((byLayers) => Object.values(byLayers).flat())
    .flatMap((run) => run.limits ?? []);
  if (limits.length === 0) return [];
  const best = (name) => Math.max(...limits.map((limit) => limit[name] ?? 0));
  return [
    `Limits of this machine meanwhile: read ${best("readGigabytesPerSecond").toFixed(1)} GB/s, ` +
      `bf16 ${best("bf16Teraflops").toFixed(3)} TFLOP/s, int8 ${best("int8Teraops").toFixed(3)} TOP/s.`,
  ];
}
