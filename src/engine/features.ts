import type { Rows } from "../backend/backend.ts";
import { isOnDevice } from "../backend/inputs.ts";

/**
 * Image features of tiles seen lately, by the content of the tile, so that a picture shown again is not encoded again.
 * They stay where they were made. The ones unused for longest make room.
 */
export class FeatureCache {
  readonly #capacity: number;
  readonly #kept = new Map<number, Rows>();
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

  /** Whoever needs them longer than until the next `keep` must hold them. */
  get(identity: number): Rows | undefined {
    const features = this.#kept.get(identity);
    if (features) {
      this.#kept.delete(identity);
      this.#kept.set(identity, features);
    }
    return features;
  }

  keep(identity: number, features: Rows): void {
    holdRows(features);
    this.#drop(identity);
    this.#kept.set(identity, features);
    this.#bytes += bytesOf(features);
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#capacity || oldest === identity) break;
      this.#drop(oldest);
    }
  }

  clear(): void {
    for (const identity of [...this.#kept.keys()]) this.#drop(identity);
  }

  #drop(identity: number): void {
    const features = this.#kept.get(identity);
    if (!features) return;
    this.#kept.delete(identity);
    this.#bytes -= bytesOf(features);
    letGoOfRows(features);
  }
}

export function holdRows({ of }: Rows): void {
  if (isOnDevice(of)) of.hold();
}

export function letGoOfRows({ of }: Rows): void {
  if (isOnDevice(of)) of.letGo();
}

/** The rows' share of what they are part of. */
function bytesOf({ of, count }: Rows): number {
  return isOnDevice(of) ? (of.bytes / of.rows) * count : of.byteLength;
}
