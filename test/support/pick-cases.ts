import { noToken } from "../../src/graph/operations.ts";
import { type Case, MadeUpStore, recorded } from "../backend-comparison.ts";

export interface Rules {
  readonly beams?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly penalty?: number;
  readonly draw?: number;
}

/** Rows of logits `[rules.length, vocabulary]`, each with its rules; odd rows have lists. */
export function pickCase(
  logits: Float32Array,
  rules: readonly Rules[],
  { count = 1, lists = true }: { count?: number; lists?: boolean } = {},
): Case {
  const rows = rules.length;
  const vocabulary = logits.length / rows;
  const settings = Float32Array.from(
    rules.flatMap(({ beams, temperature = 0, topK = 0, topP = 1, penalty = 1, draw = 0 }) => [
      beams ? 1 : 0,
      temperature,
      topK,
      topP,
      penalty,
      draw,
    ]),
  );
  const width = 5;
  const listOf = (step: number) =>
    Uint32Array.from({ length: rows * width }, (_, i) =>
      Math.floor(i / width) % 2 === 1 && i % width < 4 ? ((i * step) % 97) % vocabulary : noToken,
    );
  const graph = recorded((g) => {
    const list = (name: string) => (lists ? g.input(name, "u32", rows, width) : undefined);
    const { tokens, scores } = g.pickTokens(g.input("logits", "f32", rows, vocabulary), {
      settings: g.input("settings", "f32", rows, 6),
      penalised: list("penalised"),
      suppressed: list("suppressed"),
      count,
    });
    g.output("tokens", tokens);
    g.output("scores", scores);
  });
  const given: Record<string, Uint32Array> = lists ? { penalised: listOf(31), suppressed: listOf(53) } : {};
  return { store: new MadeUpStore(), graph, inputs: { logits, settings, ...given } };
}

/** Rules of every kind, for as many rows. */
export const greedy: Rules[] = [{}, { penalty: 1.5 }, {}, { penalty: 0.7 }];
export const samples: Rules[] = [0, 0.3, 0.77, 0.9999].flatMap((draw) => [
  { temperature: 1, draw },
  { temperature: 0.2, topK: 50, draw, penalty: 1.2 },
  { temperature: 1.7, topP: 0.8, draw },
  { temperature: 0.9, topK: 7, topP: 0.95, draw, penalty: 1.1 },
  { temperature: 30, topP: 0.5, draw },
  { temperature: 1e-3, draw },
  { temperature: 1, topK: 1, draw },
  { temperature: 1, topP: 0, draw },
]);
export const beams: Rules[] = [{ beams: true }, { beams: true, penalty: 1.3 }];
