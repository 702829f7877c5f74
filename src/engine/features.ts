/**
 * Image features of tiles seen lately, by the content of the tile, so that a picture shown again is not encoded again.
 * The ones unused for longest make room.
 */
export class FeatureCache {
  readonly #capacity: number;
  readonly #kept = new Map<number, Float32Array>();
  readonly #identities = new Map<string, number>();
  #bytes = 0;
  #nextIdentity = 1;

  /** @param capacity in bytes */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** A number that stands for this content: equal for equal hashes, and only then. */
  identityOf(contentHash: string): number {
    let identity = this.#identities.get(contentHash);
    if (identity === undefined) {
      identity = this.newIdentity();
      this.#identities.set(contentHash, identity);
    }
    return identity;
  }

  /** A number for content that nobody will show again. */
  newIdentity(): number {
    return this.#nextIdentity++;
  }

  get(identity: number): Float32Array | undefined {
    const values = this.#kept.get(identity);
    if (values) {
      this.#kept.delete(identity);
      this.#kept.set(identity, values);
    }
    return values;
  }

  keep(identity: number, values: Float32Array): void {
    const before = this.#kept.get(identity);
    if (before) this.#bytes -= before.byteLength;
    this.#kept.delete(identity);
    this.#kept.set(identity, values);
    this.#bytes += values.byteLength;
    for (const [oldest, unused] of this.#kept) {
      if (this.#bytes <= this.#capacity || oldest === identity) break;
      this.#kept.delete(oldest);
      this.#bytes -= unused.byteLength;
    }
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }
}
