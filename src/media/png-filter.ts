/** The five row filters of PNG, undone in place (PNG specification, section 9). */

/** The neighbour (left, above or above left) nearest to left + above - aboveLeft, in that order of preference. */
function paeth(left: number, above: number, aboveLeft: number): number {
  const fromLeft = Math.abs(above - aboveLeft);
  const fromAbove = Math.abs(left - aboveLeft);
  const fromAboveLeft = Math.abs(left + above - 2 * aboveLeft);
  if (fromLeft <= fromAbove && fromLeft <= fromAboveLeft) return left;
  return fromAbove <= fromAboveLeft ? above : aboveLeft;
}

/**
 * Undoes the filter of one row. The row is a filter byte and `rowBytes` bytes at `start`; the row above lies right
 * before it, already undone.
 *
 * @param distance bytes from a pixel to its left neighbour
 * @param isFirst there is no row above: its bytes count as zeros
 * @returns false for a filter that does not exist
 */
export function unfilter(
  data: Uint8Array,
  start: number,
  rowBytes: number,
  distance: number,
  isFirst: boolean,
): boolean {
  const filter = data[start];
  const begin = start + 1;
  const end = begin + rowBytes;
  const firstEnd = Math.min(begin + distance, end);
  const up = rowBytes + 1;
  if (filter === 0) return true;
  if (filter === 1 || (filter === 4 && isFirst)) {
    // Without a row above, Paeth always chooses the left byte.
    for (let i = begin + distance; i < end; i++) data[i] += data[i - distance];
    return true;
  }
  if (filter === 2) {
    if (!isFirst) for (let i = begin; i < end; i++) data[i] += data[i - up];
    return true;
  }
  if (filter === 3) {
    for (let i = begin; i < firstEnd; i++) data[i] += isFirst ? 0 : data[i - up] >> 1;
    for (let i = firstEnd; i < end; i++) data[i] += (data[i - distance] + (isFirst ? 0 : data[i - up])) >> 1;
    return true;
  }
  if (filter === 4) {
    for (let i = begin; i < firstEnd; i++) data[i] += data[i - up];
    for (let i = firstEnd; i < end; i++)
      data[i] += paeth(data[i - distance], data[i - up], data[i - up - distance]);
    return true;
  }
  return false;
}
