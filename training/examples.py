"""Draws the pictures of examples/images and writes what the model answers about them (greedy, bf16 weights, f32 arithmetic).

usage: examples.py MODEL_FOLDER OUTPUT_FOLDER
"""

import json
import sys
from pathlib import Path

import layout
from evaluate import answer_on_cpu, cases_of_set
from generator import charts, clips, documents, pairs, printed, shapes
from generator.canvas import World

# name: (what draws it, seed, width, height, questions)
PICTURES = {
    "shapes": (lambda w, *size: shapes.scene(w, *size, count=3), 123, 480, 440, (("describe", "Describe the picture."), ("count", "How many shapes are there?"))),
    "count": (lambda w, *size: shapes.scene(w, *size, count=6), 7, 640, 400, (("count", "How many shapes are there?"), ("colour", "What colour is the background?"))),
    "sign": (printed.single, 1, 560, 300, (("word", "What does the sign say?"),)),
    "words": (printed.scattered, 6, 480, 460, (("word", "What is the red word?"),)),
    "lines": (printed.lines, 12, 640, 480, (("text", "Read the text."),)),
    "bars": (lambda w, *size: charts.axes_chart(w, *size, "bar"), 7, 600, 520, (("chart largest", "Which bar is the highest?"), ("chart value", "What is the value of Thu?"), ("chart value", "What is the value of Fri?"), ("chart title", "What is the title?"))),
    "line": (lambda w, *size: charts.axes_chart(w, *size, "line"), 1, 640, 480, (("chart smallest", "Which point is the lowest?"), ("chart value", "What is the value of G?"))),
    "pie": (charts.pie, 12, 520, 480, (("chart largest", "Which slice is the largest?"), ("chart value", "What is the value of Q3?"))),
    "receipt": (documents.receipt, 3, 420, 480, (("form", "What is the total?"), ("form", "What is the name of the shop?"))),
    "form": (documents.form, 7, 560, 400, (("describe", "Describe the image."),)),
}


def ask_own(found, wanted: tuple[str, str]) -> tuple[str, str]:
    """A question the generator wrote for this picture, of this skill, or the given one."""
    for question in found:
        if question.skill == wanted[0] and question.key not in ("is there",):
            return question.skill, question.question
    return wanted


def main(model: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, (drawer, seed, width, height, asked) in PICTURES.items():
        columns, rows = layout.choose_grid(width, height, 6)
        canvas, found = drawer(World(seed), width, height, 448 * columns / width, 448 * rows / height)
        canvas.image.save(output / f"{name}.png")
        own = {ask_own(found, wanted) for wanted in asked[:1]}
        for skill, question in dict.fromkeys([*own, *asked]):
            truth = next((q.answer for q in found if q.skill == skill and q.question.lower() == question.lower()), None)
            entries.append({"image": f"{name}.png", "question": question, "skill": skill, "answer": truth or ""})
    canvases, found = pairs.scenes(World(10), 448, 448, 1.0, 1.0)
    for index, canvas in enumerate(canvases):
        canvas.image.save(output / f"pair-{index + 1}.png")
    for question in [question for question in found if question.key in ("compare difference", "compare same")][:2]:
        entries.append({"images": ["pair-1.png", "pair-2.png"], "question": question.question, "skill": "compare", "answer": question.answer})
    canvases, found = clips.scene(World(31), 320, 320, 1.4, 1.4, 8)
    for index, canvas in enumerate(canvases):
        canvas.image.save(output / f"clip-{index + 1}.png")
    entries.append({"frames": [f"clip-{index + 1}.png" for index in range(8)], "question": "What happens in the video?", "skill": "clip", "answer": found[0].answer})
    entries.append({"question": "Who are you?", "skill": "talk", "answer": ""})
    (output / "questions.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")  # right answers, for now
    answers = answer_on_cpu(model, cases_of_set(output))
    for entry, answer in zip(entries, answers):
        print(entry.get("image") or entry.get("images") or "clip", "|", entry["question"], "|", entry["answer"], "|", answer)
        entry["answer"] = answer
    (output / "questions.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
