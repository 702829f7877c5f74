"""Writes a small set of held-out pictures with questions and right answers, for tests that go through the product.

usage: held_out.py OUTPUT_FOLDER [--each 8]
"""

import argparse
import io
import json
from pathlib import Path

from PIL import Image

from evaluate import SKILLS, case


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=8)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for skill in SKILLS:
        if skill == "photograph":
            continue  # their pictures are other people's and stay out of this repository
        taken, number = 0, 1000
        while taken < options.each:
            item = case(skill, number, "train" if taken % 2 else "test")
            number += 1
            if item["form"] not in ("one", "numbered", "frames"):
                continue
            names = []
            for index, file in enumerate(item["files"]):
                names.append(f"{skill.replace(' ', '-')}-{taken}{'-' + str(index + 1) if len(item['files']) > 1 else ''}.png")
                Image.open(io.BytesIO(file)).save(options.folder / names[-1])
            if sum((options.folder / name).stat().st_size for name in names) > 150_000:
                continue  # a textured background: too large to keep
            entry: dict = {"skill": skill, "question": item["question"], "answer": item["answer"]}
            if names:
                entry |= {"frames": names} if skill == "clip" else {"images": names} if len(names) > 1 else {"image": names[0]}
            if item["most"] == 1 and skill != "clip":
                entry["maxTiles"] = 1
            entries.append(entry)
            taken += 1
    (options.folder / "questions.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    print(len(entries), "questions,", sum(path.stat().st_size for path in options.folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
