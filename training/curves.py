"""Draws the loss curves of results/log.jsonl. usage: curves.py (needs matplotlib)"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent / "results"


def main() -> None:
    entries = [json.loads(line) for line in (FOLDER / "log.jsonl").read_text().splitlines()]
    begins = [entry["step"] for entry in entries if entry["seconds"] < 20 and entry.get("part")]  # where training was taken up again
    entries = [entry for entry in entries if entry["step"] >= 50]
    steps = [entry["step"] for entry in entries]
    figure, axes = plt.subplots(figsize=(8, 4.2), dpi=100)
    axes.semilogy(steps, [entry["loss"] for entry in entries], label="answers (weighted cross-entropy a token)")
    axes.semilogy(steps, [entry["marks"] for entry in entries], label="what each patch shows (training aid)")
    axes.semilogy(steps, [max(entry["rate"], 1e-3) for entry in entries], label="learning rate, share of the top", linestyle=":")
    for step in sorted(set(begins)):
        axes.axvline(step, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("step (384 tiles each)")
    axes.grid(True, which="major", alpha=0.4)
    axes.legend()
    figure.tight_layout()
    figure.savefig(FOLDER / "loss.png")


if __name__ == "__main__":
    main()
