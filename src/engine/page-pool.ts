/** Which pages of the cache are in use, and by how many: a page with more than one holder must not be written. */
export class PagePool {
  readonly pages: number;
  readonly #holders: Uint32Array;
  readonly #free: number[];

  constructor(pages: number) {
    this.pages = pages;
    this.#holders = new Uint32Array(pages);
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i);
  }

  get freePages(): number {
    return this.#free.length;
  }

  /** A free page with one holder, or undefined. */
  take(): number | undefined {
    const page = this.#free.pop();
    if (page !== undefined) this.#holders[page] = 1;
    return page;
  }

  hold(page: number): void {
    this.#holders[page]++;
  }

  letGo(page: number): void {
    if (this.#holders[page] === 0) throw new RangeError(`page ${page} has no holder`);
    if (--this.#holders[page] === 0) this.#free.push(page);
  }

  holders(page: number): number {
    return this.#holders[page];
  }
}
