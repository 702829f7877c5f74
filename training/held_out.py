"""Writes a small set of held-out pictures with questions and right answers, for tests that go through the product.

usage: held_out.py OUTPUT_FOLDER [--each 4]
"""

import argparse
import io
import json
import re
from pathlib import Path

from PIL import Image

from evaluate import SKILLS, case

LARGEST = 150_000  # bytes of a question's pictures: textured backgrounds are left out
TWICE = ("form", "compare")  # of these twice as many: what they ask differs most
SHORT_CHINESE = ("colour", "shape", "count", "position", "chart value", "chart largest")  # skills that are asked about in Chinese too


def fitting(skill: str, wanted, first: int):
    """Held-out cases of a skill, every other one in fonts that training never saw."""
    number = first
    while True:
        item = case(skill, number, "train" if number % 2 else "test")
        number += 1
        if item["form"] in ("one", "numbered", "frames") and wanted(item):
            yield item


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=4)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    kept: dict[bytes, str] = {}
    entries = []

    def saved(name: str, file: bytes) -> str:
        """The picture's name: skills share pictures."""
        if file not in kept:
            kept[file] = name
            Image.open(io.BytesIO(file)).save(options.folder / name, optimize=True)
        return kept[file]

    def take(skill: str, kind: str, item: dict) -> bool:
        several = len(item["files"]) > 1
        number = next(n for n in range(10_000) if not any(name.startswith((f"{kind}-{n}.", f"{kind}-{n}-")) for name in kept.values()))
        names = [f"{kind}-{number}{f'-{index + 1}' if several else ''}.png" for index in range(len(item["files"]))]
        small = [io.BytesIO() for _ in names]
        for stream, file in zip(small, item["files"]):
            Image.open(io.BytesIO(file)).save(stream, "PNG", optimize=True)
        if sum(len(stream.getvalue()) for stream in small) > LARGEST:
            return False
        names = [saved(name, file) for name, file in zip(names, item["files"])]
        entry: dict = {"skill": skill, "question": item["question"], "answer": item["answer"]}
        if names:
            entry |= {"frames": names} if item["form"] == "frames" else {"images": names} if several else {"image": names[0]}
        if item["most"] == 1 and item["form"] != "frames":
            entry["maxTiles"] = 1
        entries.append(entry)
        return True

    for skill, kind in SKILLS.items():
        if skill == "photograph":
            continue  # their pictures are other people's and stay out of this repository
        taken = 0
        for item in fitting(skill, lambda item: True, 1000):
            taken += take(skill, skill if kind in ("single", "photographs") else kind, item)
            if taken == options.each * (1 + (skill in TWICE)):
                break
    for skill in SHORT_CHINESE:
        chinese = fitting(skill, lambda item: re.search("[\u4e00-\u9fff]", item["question"]), 2000)
        while not take("short Chinese", "short", next(chinese)):
            pass
    (options.folder / "questions.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    print(len(entries), "questions,", sum(path.stat().st_size for path in options.folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
