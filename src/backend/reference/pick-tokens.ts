import { noToken, pickColumns } from "../../graph/operations.ts";
import { type Matrix, rowOf } from "./matrix.ts";

/** Chooses tokens from logits: see `PickTokens`. */
export function pickTokens(
  logits: Matrix,
  settings: Matrix,
  lists: { penalised?: Matrix<Uint32Array>; suppressed?: Matrix<Uint32Array> },
  tokens: Matrix<Uint32Array>,
  scores: Matrix,
): void {
  for (let b = 0; b < logits.rows; b++) {
    const row = rowOf(logits, b);
    const answers = tokens.data.subarray(tokens.start + b * tokens.stride).subarray(0, tokens.columns);
    const answerScores = rowOf(scores, b);
    answers.fill(noToken);
    answerScores.fill(Number.NaN);
    if (row.some(Number.isNaN)) continue;
    const rules = readSettings(rowOf(settings, b));
    const normaliser = logSumExp(row);
    // Beams are ranked by log-probability, and the lists apply to that; samples go by the logits themselves.
    const values = Float64Array.from(row, (logit) => (rules.beams ? logit - normaliser : logit));
    for (const id of listRow(lists.penalised, b)) {
      values[id] =
        values[id] > 0 ? values[id] / rules.repetitionPenalty : values[id] * rules.repetitionPenalty;
    }
    for (const id of listRow(lists.suppressed, b)) values[id] = -Infinity;
    if (rules.beams) {
      const best = largestFirst(values).subarray(0, tokens.columns);
      answers.set(best);
      best.forEach((id, rank) => {
        answerScores[rank] = values[id];
      });
    } else {
      answers[0] = rules.temperature === 0 ? largest(values) : sample(values, rules);
      answerScores[0] = row[answers[0]] - normaliser;
    }
  }
}

type Settings = Record<(typeof pickColumns)[number], number>;

function readSettings(row: Float32Array): Settings {
  return Object.fromEntries(pickColumns.map((column, i) => [column, row[i]])) as Settings;
}

function listRow(list: Matrix<Uint32Array> | undefined, b: number): Uint32Array {
  if (!list) return new Uint32Array();
  const from = list.start + b * list.stride;
  return list.data.subarray(from, from + list.columns).filter((id) => id !== noToken);
}

function largest(values: Float64Array): number {
  let best = 0;
  for (let id = 1; id < values.length; id++) if (values[id] > values[best]) best = id;
  return best;
}

/** Ids from the largest value down, equal values in the order of their ids. */
function largestFirst(values: Float64Array): Uint32Array {
  return Uint32Array.from(values, (_, id) => id).sort((a, b) => values[b] - values[a] || a - b);
}

function sample(values: Float64Array, { temperature, topK, topP, draw }: Settings): number {
  const order = largestFirst(values).filter((id) => values[id] > -Infinity);
  let kept = topK > 0 ? order.subarray(0, topK) : order;
  const top = values[kept[0]];
  // Each token's weight relative to the likeliest; `topP` and `draw` are shares of the sum of those that are kept.
  const weightOf = (id: number) => Math.exp((values[id] - top) / temperature);
  if (topP < 1) {
    const wanted = topP * kept.reduce((sum, id) => sum + weightOf(id), 0);
    let sum = 0;
    let count = 0;
    while (count < kept.length && sum < wanted) sum += weightOf(kept[count++]);
    kept = kept.subarray(0, Math.max(count, 1));
  }
  const passed = draw * kept.reduce((sum, id) => sum + weightOf(id), 0);
  let sum = 0;
  for (const id of kept) {
    sum += weightOf(id);
    if (sum > passed) return id;
  }
  return kept[kept.length - 1];
}

function logSumExp(row: Float32Array): number {
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (const logit of row) sum += Math.exp(logit - top);
  return top + Math.log(sum);
}
