import { ShapeError } from "../errors.ts";
import {
  type Activation,
  type Operation,
  type Patches,
  pickColumns,
  readsOf,
  weightsOf,
} from "./operations.ts";
import type { CacheLayout, ElementType, Storage, Tensor, Weight } from "./tensor.ts";

/** What a model recorded: operations in order, and the names under which values go in and come out. */
export interface Graph {
  readonly name: string;
  readonly operations: readonly Operation[];
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** Names of the outputs that stay on the device. */
  readonly staying: ReadonlySet<string>;
  /** Every parameter the operations read, each once. */
  readonly weights: readonly Weight[];
}

/**
 * Records a graph. Each method checks its shapes, notes one operation and returns the tensor it makes; nothing is
 * computed. The contract of each operation stands at its type in `operations.ts`.
 */
export class Recorder {
  readonly #name: string;
  readonly #operations: Operation[] = [];
  readonly #inputs = new Map<string, Tensor>();
  readonly #outputs = new Map<string, Tensor>();
  readonly #staying = new Set<string>();
  /** By their ids. */
  readonly #storages: Storage[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  /** A value the caller gives at each run. */
  input(name: string, type: ElementType, rows: number, columns: number): Tensor {
    if (this.#inputs.has(name)) throw new ShapeError(`${this.#name}: two inputs are called ${name}`);
    const tensor = whole(this.#storage("input", type, rows, columns));
    this.#inputs.set(name, tensor);
    return tensor;
  }

  /** A value fixed now. */
  constant(values: Float32Array | Uint32Array, rows: number, columns: number): Tensor {
    this.#check(
      values.length === rows * columns,
      `a constant of ${values.length} is not [${rows}, ${columns}]`,
    );
    const type = values instanceof Float32Array ? "f32" : "u32";
    return whole(this.#storage("constant", type, rows, columns, values));
  }

  /** Columns `first … first + count - 1` of a tensor, without a copy. */
  columns(tensor: Tensor, first: number, count: number): Tensor {
    this.#check(
      first >= 0 && count > 0 && first + count <= tensor.columns,
      `columns ${first} to ${first + count} of ${shape(tensor)}`,
    );
    return { ...tensor, columns: count, firstColumn: tensor.firstColumn + first };
  }

  /**
   * Names a tensor that comes out of each run: as an array, or with `stays` on the device, for later runs to take in. It
   * must not be a view.
   */
  output(name: string, tensor: Tensor, { stays = false } = {}): void {
    this.#check(!this.#outputs.has(name), `two outputs are called ${name}`);
    this.#check(tensor.columns === tensor.storage.columns, `output ${name} is a view`);
    this.#outputs.set(name, tensor);
    if (stays) this.#staying.add(name);
  }

  embed(table: Weight, ids: Tensor): Tensor {
    this.#check(ids.columns === 1, `ids are ${shape(ids)}`);
    this.#checkNumbers({ ids });
    const output = this.#activation("f32", ids.rows, table.columns);
    return this.#note({ kind: "embed", table, ids, output }, output);
  }

  scatterRows(target: Tensor, source: Tensor, rows: Tensor): Tensor {
    this.#check(
      source.columns === target.columns && rows.rows === source.rows && rows.columns === 1,
      `scatter of ${shape(source)} by ${shape(rows)} into ${shape(target)}`,
    );
    this.#checkNumbers({ rows });
    this.#check(target.storage.kind === "activation", "scatter into something that is not an activation");
    return this.#note({ kind: "scatterRows", target, source, rows }, target);
  }

  patches(tiles: Tensor, options: Pick<Patches, "tileSize" | "patchSize" | "mean" | "deviation">): Tensor {
    const { tileSize, patchSize } = options;
    this.#check(
      tileSize % patchSize === 0 && tiles.columns === tileSize * tileSize * 3 && tiles.storage.type === "u8",
      `tiles are ${shape(tiles)} for ${tileSize} pixels in patches of ${patchSize}`,
    );
    const side = tileSize / patchSize;
    const output = this.#activation("f32", tiles.rows * (1 + side * side), 3 * patchSize * patchSize);
    return this.#note({ kind: "patches", tiles, ...options, output }, output);
  }

  matmul(
    input: Tensor,
    weight: Weight,
    epilogue: {
      bias?: Weight;
      activation?: Activation;
      scale?: Weight;
      residual?: Tensor;
      table?: Weight;
    } = {},
  ): Tensor {
    this.#check(input.columns === weight.columns, `${shape(input)} times ${weight.name} ${shape(weight)}`);
    for (const vector of [epilogue.bias, epilogue.scale]) {
      this.#check(
        !vector || vector.rows * vector.columns === weight.rows,
        `${vector?.name} for ${weight.name}`,
      );
    }
    const { residual, table } = epilogue;
    this.#check(
      !residual || (residual.rows === input.rows && residual.columns === weight.rows),
      `residual ${residual && shape(residual)} of ${weight.name}`,
    );
    this.#check(!table || table.columns === weight.rows, `table ${table?.name} of ${weight.name}`);
    const output = this.#activation("f32", input.rows, weight.rows);
    return this.#note({ kind: "matmul", input, weight, ...epilogue, output }, output);
  }

  gatedMatmul(input: Tensor, gate: Weight, up: Weight): Tensor {
    this.#check(
      input.columns === gate.columns && gate.columns === up.columns && gate.rows === up.rows,
      `${shape(input)} times ${gate.name} ${shape(gate)} and ${up.name} ${shape(up)}`,
    );
    const output = this.#activation("f32", input.rows, gate.rows);
    return this.#note({ kind: "gatedMatmul", input, gate, up, output }, output);
  }

  layerNorm(input: Tensor, weight: Weight, bias: Weight, epsilon: number): Tensor {
    this.#check(
      input.columns === weight.rows && input.columns === bias.rows,
      `${weight.name} over ${shape(input)}`,
    );
    const output = this.#activation("f32", input.rows, input.columns);
    return this.#note({ kind: "layerNorm", input, weight, bias, epsilon, output }, output);
  }

  rmsNorm(input: Tensor, weight: Weight, epsilon: number): Tensor {
    this.#check(input.columns === weight.rows, `${weight.name} over ${shape(input)}`);
    const output = this.#activation("f32", input.rows, input.columns);
    return this.#note({ kind: "rmsNorm", input, weight, epsilon, output }, output);
  }

  rotary(
    values: { query: Tensor; key: Tensor; value: Tensor; angles: Tensor; slots: Tensor },
    place: { layer: number; heads: number; cache: CacheLayout },
  ): Tensor {
    const { query, key, value, angles, slots } = values;
    const { heads, cache } = place;
    const keyColumns = cache.keyValueHeads * cache.headSize;
    this.#check(
      query.columns === heads * cache.headSize && key.columns === keyColumns && value.columns === keyColumns,
      `q ${shape(query)}, k ${shape(key)}, v ${shape(value)} for ${heads} and ${cache.keyValueHeads} heads`,
    );
    this.#check(
      angles.rows === query.rows && angles.columns === cache.headSize,
      `angles are ${shape(angles)}`,
    );
    this.#check(slots.rows === query.rows && slots.columns === 1, `slots are ${shape(slots)}`);
    this.#checkNumbers({ slots });
    this.#checkPlace(place);
    const output = this.#activation("f32", query.rows, query.columns);
    return this.#note({ kind: "rotary", ...values, ...place, output }, output);
  }

  attention(
    values: { query: Tensor; key: Tensor; value: Tensor },
    heads: { heads: number; headSize: number; groupRows: number },
  ): Tensor {
    const { query } = values;
    for (const tensor of Object.values(values)) {
      this.#check(
        tensor.rows === query.rows && tensor.columns === heads.heads * heads.headSize,
        `attention over ${shape(tensor)} with ${heads.heads} heads of ${heads.headSize}`,
      );
    }
    this.#check(query.rows % heads.groupRows === 0, `${query.rows} rows in groups of ${heads.groupRows}`);
    const output = this.#activation("f32", query.rows, query.columns);
    return this.#note({ kind: "attention", ...values, ...heads, output }, output);
  }

  pagedAttention(
    values: { query: Tensor; starts: Tensor; lengths: Tensor; pages: Tensor },
    place: { layer: number; heads: number; cache: CacheLayout },
  ): Tensor {
    const { query, starts, lengths, pages } = values;
    this.#check(
      starts.rows === lengths.rows + 1 && pages.rows === lengths.rows,
      `starts ${shape(starts)}, lengths ${shape(lengths)}, pages ${shape(pages)}`,
    );
    this.#check(query.columns === place.heads * place.cache.headSize, `q is ${shape(query)}`);
    this.#checkNumbers({ starts, lengths, pages });
    this.#checkPlace(place);
    const output = this.#activation("f32", query.rows, query.columns);
    return this.#note({ kind: "pagedAttention", ...values, ...place, output }, output);
  }

  gatherRows(input: Tensor, rows: Tensor): Tensor {
    this.#checkNumbers({ rows });
    const output = this.#activation("f32", rows.rows, rows.columns * input.columns);
    return this.#note({ kind: "gatherRows", input, rows, output }, output);
  }

  pickTokens(
    logits: Tensor,
    rules: { settings: Tensor; penalised?: Tensor; suppressed?: Tensor; count: number },
  ): { tokens: Tensor; scores: Tensor } {
    const { settings, penalised, suppressed, count } = rules;
    this.#check(
      settings.rows === logits.rows && settings.columns === pickColumns.length,
      `settings are ${shape(settings)} for logits ${shape(logits)}`,
    );
    for (const list of [penalised, suppressed]) {
      if (!list) continue;
      this.#check(list.rows === logits.rows, `a list of ${shape(list)} for logits ${shape(logits)}`);
      this.#checkNumbers({ list });
    }
    this.#check(count > 0 && count <= logits.columns, `${count} tokens of ${logits.columns}`);
    const tokens = this.#activation("u32", logits.rows, count);
    const scores = this.#activation("f32", logits.rows, count);
    this.#note({ kind: "pickTokens", logits, ...rules, tokens, scores }, tokens);
    return { tokens, scores };
  }

  finish(): Graph {
    const used = [...this.#operations.flatMap(readsOf), ...this.#outputs.values()];
    for (const { storage } of used) {
      this.#check(this.#storages[storage.id] === storage, "a tensor of another graph is read");
    }
    const weights = [...new Set(this.#operations.flatMap(weightsOf))];
    return {
      name: this.#name,
      operations: this.#operations,
      inputs: this.#inputs,
      outputs: this.#outputs,
      staying: this.#staying,
      weights,
    };
  }

  #storage(
    kind: Storage["kind"],
    type: ElementType,
    rows: number,
    columns: number,
    values?: Storage["values"],
  ): Storage {
    this.#check(
      Number.isSafeInteger(rows) && Number.isSafeInteger(columns) && rows > 0 && columns > 0,
      `a tensor of [${rows}, ${columns}]`,
    );
    const storage: Storage = { id: this.#storages.length, kind, type, rows, columns, values };
    this.#storages.push(storage);
    return storage;
  }

  #activation(type: ElementType, rows: number, columns: number): Tensor {
    return whole(this.#storage("activation", type, rows, columns));
  }

  #note(operation: Operation, made: Tensor): Tensor {
    this.#operations.push(operation);
    return made;
  }

  /** Where keys and values go: a layer that is there, and as many query heads for each of its heads. */
  #checkPlace({ layer, heads, cache }: { layer: number; heads: number; cache: CacheLayout }): void {
    this.#check(layer >= 0 && layer < cache.layers, `layer ${layer} of a cache of ${cache.layers}`);
    this.#check(
      heads % cache.keyValueHeads === 0,
      `${heads} query heads for ${cache.keyValueHeads} key-value heads`,
    );
  }

  /** Row numbers, ids and the like are u32. */
  #checkNumbers(tensors: Record<string, Tensor>): void {
    for (const [name, { storage }] of Object.entries(tensors)) {
      this.#check(storage.type === "u32", `${name} must be u32, not ${storage.type}`);
    }
  }

  #check(holds: boolean, otherwise: string): void {
    if (!holds) throw new ShapeError(`${this.#name}, operation ${this.#operations.length}: ${otherwise}`);
  }
}

function whole(storage: Storage): Tensor {
  return { storage, rows: storage.rows, columns: storage.columns, firstColumn: 0 };
}

function shape(of: { rows: number; columns: number }): string {
  return `[${of.rows}, ${of.columns}]`;
}
