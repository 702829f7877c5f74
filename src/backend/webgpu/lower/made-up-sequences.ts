import type { PagedAttention, Rotary } from "../../../graph/operations.ts";
import type { Lowering } from "./dispatch.ts";
import type { Choice } from "./variant.ts";

/** Positions of each sequence that a trial looks at, at most, and bytes of keys that it has. */
const triedLength = 2048;
const triedBytes = 2 ** 26;

/**
 * Sequences for a trial: of equal shares of the new tokens, at the end of as much context as there may be. Of a rotary
 * that is tried with it, the slots are those that the pages say, and no sequence sees the new tokens of another.
 */
export function madeUpSequences(
  { query, starts, lengths, pages, cache }: PagedAttention,
  on: Lowering,
  rotary?: Rotary,
): Pick<Choice, "numbers" | "cacheBytes"> {
  const { pageSize, keyValueHeads, headSize } = cache;
  const sequences = lengths.rows;
  const pageBytes = pageSize * keyValueHeads * headSize * (on.cacheType === "f16" ? 2 : 4);
  const share = Math.ceil(query.rows / sequences);
  const startOf = (b: number) => Math.min(b * share, query.rows);
  const length = Math.max(share, Math.min(triedLength, pages.columns * pageSize));
  const firstOwn = Math.floor((length - share) / pageSize);
  const own = rotary ? Math.floor((length - 1) / pageSize) + 1 - firstOwn : 0;
  // First the pages of each sequence's new tokens, then those that all may have for the rest.
  const common = Math.max(
    1,
    Math.min(sequences * pages.columns, Math.floor(triedBytes / pageBytes)) - sequences * own,
  );
  const table = Uint32Array.from({ length: sequences * pages.columns }, (_, i) => {
    const b = Math.floor(i / pages.columns);
    const place = (i % pages.columns) - firstOwn;
    return place >= 0 && place < own ? b * own + place : sequences * own + (i % common);
  });
  const slots = Uint32Array.from({ length: query.rows }, (_, n) => {
    const b = Math.floor(n / share);
    const position = length - startOf(b + 1) + n;
    return table[b * pages.columns + Math.floor(position / pageSize)] * pageSize + (position % pageSize);
  });
  return {
    numbers: [
      [on.place(starts), Uint32Array.from({ length: sequences + 1 }, (_, b) => startOf(b))],
      [on.place(lengths), new Uint32Array(sequences).fill(length)],
      [on.place(pages), table],
      ...(rotary ? [[on.place(rotary.slots), slots] as const] : []),
    ],
    cacheBytes: (sequences * own + common) * pageBytes,
  };
}
