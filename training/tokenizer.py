"""The model's own sentencepiece BPE file, in the layout of the published InternLM2 tokenizer.

Words of the questions and sentences become one piece each, but only behind a space or a line break; letters
inside quoted or bare printed text stay single. So reading a printed word is spelling it, letter by letter, and an
unknown word is as easy as a known one.

usage: tokenizer.py OUTPUT_FOLDER
"""

import json
import re
import struct
import sys
from collections import Counter
from pathlib import Path

import sentencepiece

from layout import SYSTEM

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
CHAT_TOKENS = ["<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>", "<|im_start|>"]
PICTURE_TOKENS = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
SPACE = "\u2581"


class Tokenizer:
    """Encodes as the published slow tokenizer does: split at added tokens, then sentencepiece on each part."""

    def __init__(self, folder: Path):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        added = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
        self.added = {token["content"]: int(number) for number, token in added.items()}
        self.split = re.compile("(" + "|".join(sorted(map(re.escape, self.added), key=len, reverse=True)) + ")")
        self.special = set(self.added.values())
        self.end = self.added["<|im_end|>"]
        self.picture = self.added["<IMG_CONTEXT>"]
        self.size = max(self.special) + 1

    def encode(self, text: str, bos: bool = False) -> list[int]:
        ids = [1] if bos else []
        for part in self.split.split(text):
            if part in self.added:
                ids.append(self.added[part])
            elif part:
                ids += self.pieces.encode(part)
        return ids

    def decode(self, ids: list[int]) -> str:
        return self.pieces.decode([number for number in ids if number not in self.special and number < self.pieces.get_piece_size()])


def corpus() -> list[str]:
    """What is asked and answered, without the printed words themselves."""
    from generator import photographs, talk
    from generator.phrases import CHINESE, ENGLISH

    lines = []
    for phrasings in list(ENGLISH.values()) + list(CHINESE.values()):
        for phrasing in phrasings:
            lines += [phrasing] * 4
            lines += [phrasing.replace("colour", "color").replace("centre", "center")] * 2
    for asked, answer in talk.TALK:
        lines += list(asked) * 3 + [answer] * 6
    lines += list(photographs.ASKED) * 2 + [photographs.PHOTOGRAPH, photographs.BLANK, photographs.PHOTOGRAPH_CHINESE, photographs.BLANK_CHINESE] * 8
    return lines


def answer_words() -> list[str]:
    from generator import vocabulary
    from generator.documents import FIELDS

    words = list(vocabulary.COLOURS) + list(vocabulary.SHAPES) + [plural for plural, _ in vocabulary.SHAPES.values()] + list(vocabulary.NUMBER_WORDS)
    words += [word for place, _ in vocabulary.PLACES.values() for word in place.split()]
    words += "bar bars line lines point points slice slices chart pie receipt form fields field items item titled title background says first second third fourth fifth sixth last above below left right from to top bottom".split()
    words += [word.lower() for name in FIELDS for word in name.split()]
    return words + [word.lower() for word in vocabulary.ITEMS] + vocabulary.ITEMS


def build() -> list[tuple[str, float, int]]:
    """Pieces with scores and types."""
    from generator.vocabulary import CHINESE_PRINTED, COLOURS, PLACES, PRINTED_CHARACTERS, SHAPES

    pieces = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)] + [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    lines = corpus()
    counts: Counter[str] = Counter()
    for line in lines:
        line = re.sub(r"\{\w+\}", "", line)
        counts.update(SPACE + word for word in re.findall(r"(?<= )[A-Za-z]+", line))
        first = re.match(r"[A-Za-z]+", line)
        if first:
            counts["\n" + first.group()] += 1
    for word in answer_words():
        counts[SPACE + word] += 3
    wanted = [word for word, count in counts.most_common() if count >= 3 and len(word) > 2]
    chinese_text = "".join(line for line in lines if re.search(r"[\u4e00-\u9fff]", line)) + "".join(CHINESE_PRINTED) + SYSTEM
    chinese_text += "".join(name for _, name in list(COLOURS.values()) + list(SHAPES.values()) + list(PLACES.values()))
    characters = [SPACE, "\n"] + sorted(set(PRINTED_CHARACTERS) - {" "}) + sorted(set(re.findall(r"[^\x00-\x7f]", chinese_text)) - {SPACE})
    chains: list[str] = []
    seen = set(characters)
    for word in wanted:
        for length in range(2, len(word) + 1):
            if word[:length] not in seen:
                seen.add(word[:length])
                chains.append(word[:length])
    chains.sort(key=len, reverse=True)  # a longer beginning merges before a shorter one could start elsewhere
    rank = 0
    for text in chains + characters:
        pieces.append((text, -float(rank), NORMAL))
        rank += 1
    clauses = re.findall(r"[^，,。]+[，,。]?", SYSTEM)
    assert "".join(clauses) == SYSTEM
    for text in ["system\n", "user\n", "assistant\n", *[clause.replace(" ", SPACE) for clause in clauses]] + CHAT_TOKENS:
        pieces.append((text, 0.0, USER_DEFINED))
    return pieces


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def record(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def flag(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def serialise(pieces: list[tuple[str, float, int]]) -> bytes:
    """The sentencepiece ModelProto: pieces, TrainerSpec (BPE, byte fallback), NormalizerSpec (identity, no dummy prefix)."""
    body = b"".join(record(1, record(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + flag(3, kind)) for text, score, kind in pieces)
    trainer = flag(3, 2) + flag(4, len(pieces)) + flag(35, 1) + flag(40, 0) + flag(41, 1) + flag(42, 2) + flag(43, -1)
    normaliser = record(1, b"identity") + flag(3, 0) + flag(4, 0) + flag(5, 1)
    return body + record(2, trainer) + record(3, normaliser)


def write(folder: Path) -> Tokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    pieces = build()
    (folder / "tokenizer.model").write_bytes(serialise(pieces))
    base = len(pieces)
    special = {0: "<unk>", 1: "<s>", 2: "</s>"}
    special.update({base - len(CHAT_TOKENS) + index: token for index, token in enumerate(CHAT_TOKENS)})
    special.update({base + index: token for index, token in enumerate(PICTURE_TOKENS)})
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    def save(name, value):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n")
    save("added_tokens.json", {token: base + index for index, token in enumerate(PICTURE_TOKENS)})
    save("special_tokens_map.json", {"additional_special_tokens": CHAT_TOKENS + PICTURE_TOKENS, **names})
    save("tokenizer_config.json", {
        "added_tokens_decoder": {str(number): {"content": token, **flags} for number, token in special.items()},
        "additional_special_tokens": CHAT_TOKENS + PICTURE_TOKENS, **names, "clean_up_tokenization_spaces": False, "model_max_length": 8192,
        "tokenizer_class": "InternLM2Tokenizer", "add_bos_token": True, "add_eos_token": False,
    })
    return Tokenizer(folder)


if __name__ == "__main__":
    tokenizer = write(Path(sys.argv[1]))
    print("vocabulary", tokenizer.size)
    for text in ("<|im_start|>system\n" + SYSTEM + "<|im_end|>", "What colour is the circle?", "\nWhat colour is the circle?", "planter", "It says \"Hello world\".", "The red circle moves from left to right.", "有几个圆形？", "red", " 1,234.50"):
        ids = tokenizer.encode(text)
        print(len(ids), [tokenizer.pieces.id_to_piece(i) if i < tokenizer.pieces.get_piece_size() else i for i in ids], tokenizer.decode(ids) == text)
