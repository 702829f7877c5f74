import { TokenizerError } from "../errors.ts";

/** The types of `ModelProto.SentencePiece.Type`, with their numbers in the file. */
export const pieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly type: number;
}

/** What this library uses of a sentencepiece `ModelProto`. */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly byteFallback: boolean;
  readonly unknownSurface: string;
  readonly addDummyPrefix: boolean;
  readonly escapeWhitespaces: boolean;
}

/**
 * Reads the protobuf of a `tokenizer.model` (sentencepiece's published `sentencepiece_model.proto`: pieces in field 1,
 * TrainerSpec in 2, NormalizerSpec in 3). Pieces are counted: `vocab_size` of published files is not always right.
 * A piece may be any text, U+0000 included. Errors: `TokenizerError` for a broken file, and for a model that is not
 * BPE or that normalises its text.
 */
export function parseSentencePieceModel(bytes: Uint8Array, file = "tokenizer.model"): SentencePieceModel {
  const pieces: Piece[] = [];
  let modelType = 1;
  let byteFallback = false;
  let unknownSurface = " \u2047 ";
  let suffixWhitespace = false;
  let addDummyPrefix = true;
  let removeExtraWhitespaces = true;
  let escapeWhitespaces = true;
  let charsMap = 0;

  for (const field of fieldsOf(bytes, file)) {
    if (field.number === 1) pieces.push(parsePiece(content(field, file), file));
    else if (field.number === 2) {
      for (const inner of fieldsOf(content(field, file), file)) {
        if (inner.number === 3) modelType = count(inner, file);
        else if (inner.number === 24) suffixWhitespace = count(inner, file) !== 0;
        else if (inner.number === 35) byteFallback = count(inner, file) !== 0;
        else if (inner.number === 44) unknownSurface = text(content(inner, file), file);
      }
    } else if (field.number === 3) {
      for (const inner of fieldsOf(content(field, file), file)) {
        if (inner.number === 2) charsMap = content(inner, file).length;
        else if (inner.number === 3) addDummyPrefix = count(inner, file) !== 0;
        else if (inner.number === 4) removeExtraWhitespaces = count(inner, file) !== 0;
        else if (inner.number === 5) escapeWhitespaces = count(inner, file) !== 0;
      }
    }
  }

  if (pieces.length === 0) throw broken(file, "holds no pieces");
  const refuse = (problem: string) =>
    new TokenizerError(file, `${problem}; only BPE models without text normalisation are supported`);
  if (modelType !== 2) throw refuse(`is a sentencepiece model of type ${modelType}, not BPE (2)`);
  if (charsMap > 0) throw refuse("normalises characters (precompiled_charsmap)");
  if (removeExtraWhitespaces) throw refuse("removes extra whitespace");
  if (suffixWhitespace) throw refuse("treats whitespace as a suffix");
  return { pieces, byteFallback, unknownSurface, addDummyPrefix, escapeWhitespaces };
}

function parsePiece(bytes: Uint8Array, file: string): Piece {
  let piece: string | undefined;
  let score = 0;
  let type: number = pieceType.normal;
  for (const field of fieldsOf(bytes, file)) {
    if (field.number === 1) piece = text(content(field, file), file);
    else if (field.number === 2) {
      const raw = content(field, file, 5);
      score = new DataView(raw.buffer, raw.byteOffset, 4).getFloat32(0, true);
    } else if (field.number === 3) type = count(field, file);
  }
  if (piece === undefined || piece === "") throw broken(file, "holds a piece without text");
  if (Number.isNaN(score))
    throw broken(file, `gives the piece ${JSON.stringify(piece)} no number as its score`);
  if (type < 1 || type > 6)
    throw broken(file, `gives the piece ${JSON.stringify(piece)} the unknown type ${type}`);
  return { text: piece, score, type };
}

interface Field {
  readonly number: number;
  readonly wire: number;
  /** The varint, for wire type 0. */
  readonly value: number;
  /** The content, for wire types 1, 2 and 5. */
  readonly bytes: Uint8Array;
}

const noBytes = new Uint8Array();

/** The fields of one protobuf message, in the order of the file. */
function* fieldsOf(bytes: Uint8Array, file: string): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    let scale = 1;
    for (let length = 0; length < 10; length++) {
      if (at >= bytes.length) throw broken(file, "ends in the middle of a number");
      const byte = bytes[at++];
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return value;
    }
    throw broken(file, "holds a number that is too long");
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number === 0) throw broken(file, "holds a field without a number");
    if (wire === 0) {
      yield { number, wire, value: varint(), bytes: noBytes };
      continue;
    }
    const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : undefined;
    if (length === undefined) throw broken(file, `holds a field of wire type ${wire}`);
    if (length > bytes.length - at) throw broken(file, "ends in the middle of a field");
    yield { number, wire, value: 0, bytes: bytes.subarray(at, at + length) };
    at += length;
  }
}

function count(field: Field, file: string): number {
  if (field.wire !== 0) throw broken(file, `has wire type ${field.wire} in field ${field.number}, not 0`);
  return field.value;
}

function content(field: Field, file: string, wire = 2): Uint8Array {
  if (field.wire !== wire)
    throw broken(file, `has wire type ${field.wire} in field ${field.number}, not ${wire}`);
  return field.bytes;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function text(bytes: Uint8Array, file: string): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new TokenizerError(file, "holds a piece that is not UTF-8; download it again", { cause });
  }
}

function broken(file: string, problem: string): TokenizerError {
  return new TokenizerError(file, `${problem}; it is damaged or no sentencepiece model, download it again`);
}
