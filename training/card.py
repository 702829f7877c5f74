"""Puts the measured accuracy into the model card, rounded down. usage: card.py [EVALUATION.json ...]

The files are what evaluate.py wrote; their tables are kept in results/accuracy.json.
"""

import json
import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "training/results/accuracy.json"
CARD = ROOT / "models/demo/README.md"
GOALS = {
    "colour": "97 / 90", "shape": "97 / 90", "count": "97 / 90", "position": "97 / 90", "word": "92 / 80", "number": "92 / 80", "chart value": "90 / 75",
    "chart largest": "90 / 75", "chart smallest": "90 / 75", "form": "88 / 70", "compare": "90 / 90", "clip": "90 / 90", "photograph": "95 / 95", "blank": "95 / 95",
}
COLUMNS = {"seeds": "held-out seeds", "fonts": "fonts never trained on", "second": "second renderer"}


def main() -> None:
    kept = json.loads(RESULTS.read_text())
    for path in sys.argv[1:]:
        for split, result in json.loads(Path(path).read_text()).items():
            kept[split] = {"table": result["table"]}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    columns = [name for name in COLUMNS if name in kept]
    lines = ["| skill | " + " | ".join(COLUMNS[name] for name in columns) + " | goal (%) |", "|---|" + "---|" * (len(columns) + 1)]
    for skill in kept["seeds"]["table"]:
        cells = []
        for name in columns:
            entry = kept[name]["table"].get(skill)
            cells.append(f"{math.floor(1000 * entry['right'] / entry['of']) / 10} % ({entry['right']} / {entry['of']})" if entry else "")
        lines.append(f"| {skill} | " + " | ".join(cells) + f" | {GOALS.get(skill, '')} |")
    begin, end = "<!-- accuracy -->", "<!-- end -->"
    text = CARD.read_text()
    CARD.write_text(text[: text.index(begin) + len(begin)] + "\n" + "\n".join(lines) + "\n" + text[text.index(end) :])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
