import { PromptError } from "../errors.ts";

/** A run of image features that stand in a prompt together, for example those of one tile. */
export interface FeatureBlock {
  /** Feature rows: the tokens it takes. */
  readonly rows: number;
  /** Equal for equal content and only then: what the prefix cache goes by. */
  readonly identity: number;
  /** RGB bytes of the tile they come from, when they are still to be computed. */
  readonly pixels?: Uint8Array;
  /** `[rows, hiddenSize]`, when the caller has computed them. */
  readonly values?: Float32Array;
}

/** A prompt as the network takes it: token ids, and the image features that stand in some of their places. */
export class Prompt {
  readonly ids: readonly number[];
  readonly blocks: readonly FeatureBlock[];
  /** For each token, what the prefix cache compares: its id, or a negative number for one row of one picture. */
  readonly keys: readonly number[];
  /** For each token, the number of its feature row over all blocks, or -1. */
  readonly featureRows: Int32Array;

  /** @throws PromptError when `ids` has more or fewer image tokens than the blocks have rows. */
  constructor(ids: readonly number[], imageToken: number | undefined, blocks: readonly FeatureBlock[]) {
    this.ids = ids;
    this.blocks = blocks;
    this.featureRows = new Int32Array(ids.length).fill(-1);
    const rowKeys = blocks.flatMap(({ rows, identity }) =>
      Array.from({ length: rows }, (_, row) => -(identity * rowLimit + row + 1)),
    );
    let row = 0;
    this.keys = ids.map((id, position) => {
      if (id !== imageToken || blocks.length === 0) return id;
      this.featureRows[position] = row;
      return rowKeys[row++] ?? id;
    });
    if (blocks.length > 0 && row !== rowKeys.length) {
      throw new PromptError(
        `the prompt has ${row} image tokens, but the pictures have ${rowKeys.length}: they must be as many`,
      );
    }
  }

  get imageTokens(): number {
    return this.blocks.reduce((sum, { rows }) => sum + rows, 0);
  }

  /** The blocks that tokens `start … end - 1` need. */
  blocksBetween(start: number, end: number): FeatureBlock[] {
    const rows = this.featureRows.subarray(start, end).filter((row) => row >= 0);
    if (rows.length === 0) return [];
    let first = 0;
    return this.blocks.filter((block) => {
      const needed = first <= rows[rows.length - 1] && first + block.rows > rows[0];
      first += block.rows;
      return needed;
    });
  }
}

/** More rows than any block has: keeps the keys of two blocks apart. */
const rowLimit = 65536;
