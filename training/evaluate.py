"""Measures exact answers per skill.

usage: evaluate.py MODEL_FOLDER --out FILE.json [--each 200] [--splits seeds fonts] [--sets FOLDER ...] [--workers 16]

`seeds`: pictures of the generator from seeds and words that training never drew; `fonts`: the same in font families
never trained on. Photographs are in both ones that training never saw. A set is a folder of pictures with `questions.json`
([{image | images | frames, question, answer, skill}]), such as the second renderer's.
"""

import argparse
import io
import json
import multiprocessing
import time
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import layout
from answer import features_of, greedy, greedy_with_cache, tiles_of_image
from export import load
from generator import samples
from generator.canvas import Canvas, World

# skill: what draws it
SKILLS = {
    "colour": "shapes", "shape": "shapes", "count": "shapes", "position": "shapes", "describe": "shapes",
    "word": "single", "number": "single", "text": "lines",
    "chart value": "charts", "chart largest": "charts", "chart smallest": "charts", "chart title": "charts",
    "form": "documents", "compare": "two", "clip": "clip", "photograph": "photographs", "blank": "photographs", "talk": "talk", "chinese": "chinese",
}


def case(skill: str, seed: int, fonts: str) -> dict:
    """One picture or group of pictures and one question about it."""
    for attempt in range(200):
        world = World(zlib.crc32(f"{skill} {seed} {attempt} {fonts}".encode()) + (1 << 40), fonts, True, "test")
        pick = world.random
        Canvas.least_print = 20.0 if skill in ("word", "number") else 10.0
        kind = SKILLS[skill]
        tiled = seed % 2 == 1  # every other picture becomes several tiles
        if kind == "talk":
            sample = samples.conversation(world)
            sample.questions = sample.questions[:1]
        elif kind == "clip":
            side = pick.uniform(220, 460)
            sample = samples.clip(world, round(side * pick.choice((1, 4 / 3))), round(side), 8)
        elif kind == "two":
            size = samples.single_tile_size(world) if not tiled or pick.random() < 0.5 else samples.tiled_size(world, 3)
            sample = samples.two_pictures(world, *size)
        else:
            size = samples.tiled_size(world, pick.choice((3, 5, 7))) if tiled else samples.single_tile_size(world)
            if kind == "shapes" and size[2] == 1 and not 0.75 < size[0] / size[1] < 1.34:
                continue
            sample = samples.one_picture(world, *size, kind=kind)
        fitting = [question for question in sample.questions if question.skill == skill and (skill != "count" or int(question.answer) <= 6)]
        if not fitting:
            continue
        chosen = pick.choice(fitting)
        if skill == "describe" and len(chosen.answer) > 130:
            continue
        files = []
        for canvas in sample.pictures:
            stream = io.BytesIO()
            canvas.image.save(stream, "PNG")
            files.append(stream.getvalue())
        most = 1 if kind == "clip" or sample.pictures and sample.grid == (1, 1) and layout.choose_grid(sample.pictures[0].width, sample.pictures[0].height, 6) != (1, 1) else 6
        return {"skill": skill, "question": chosen.question, "answer": chosen.answer, "files": files, "most": most, "form": sample.form}
    raise RuntimeError(f"no question for {skill}")


def cases_of_set(folder: Path) -> list[dict]:
    found = []
    for entry in json.loads((folder / "questions.json").read_text()):
        names = entry.get("frames") or entry.get("images") or ([entry["image"]] if "image" in entry else [])
        form = "frames" if "frames" in entry else "numbered" if "images" in entry else "one"
        found.append({**entry, "files": [(folder / name).read_bytes() for name in names], "most": entry.get("maxTiles", 1 if form == "frames" else 6), "form": form})
    return found


def prepare(item: dict) -> dict:
    """Adds tiles."""
    tiles = [tiles_of_image(Image.open(io.BytesIO(file)), item["most"]) for file in item["files"]]
    return {**item, "tiles": tiles}


def drawn(arguments) -> dict:
    return case(*arguments)


def answer_all(model, tokenizer, items: list[dict]) -> list[str]:
    """Greedy answers; batches of like length."""
    prefix = tokenizer.encode(layout.opening(), bos=True)
    prompts = [prefix + tokenizer.encode(layout.asked(layout.with_pictures(item["question"], [len(tiles) for tiles in item["tiles"]], item["form"]))) for item in items]
    slow = {"describe", "text", "talk", "photograph", "blank", "form", "compare"}  # long answers
    order = sorted(range(len(items)), key=lambda index: (items[index]["skill"] in slow, len(prompts[index])))
    answers = [""] * len(items)
    at = 0
    while at < len(order):
        length = len(prompts[order[at]])
        size = max(1, 80000 // (length + 130))
        batch = order[at : at + size]
        at += size
        features = []
        for index in batch:
            tiles = items[index]["tiles"]
            features.append(features_of(model, np.concatenate(tiles)) if tiles else None)
        for index, ids in zip(batch, greedy(model, tokenizer, [prompts[index] for index in batch], features)):
            answers[index] = tokenizer.decode(ids)
    return answers


def load_here(folder: Path) -> None:
    global here
    torch.set_num_threads(1)
    here = load(folder)


def answer_group(items: list[dict]) -> list[str]:
    """Answers to questions about the same pictures, in a process of a machine without a GPU."""
    model, tokenizer = here
    items = [prepare(item) for item in items]
    prefix = tokenizer.encode(layout.opening(), bos=True)
    features = features_of(model, np.concatenate(items[0]["tiles"]), 1) if items[0]["tiles"] else None
    found = []
    for item in items:
        asked = layout.asked(layout.with_pictures(item["question"], [len(tiles) for tiles in item["tiles"]], item["form"]))
        found.append(tokenizer.decode(greedy_with_cache(model, tokenizer, prefix + tokenizer.encode(asked), features)))
    return found


def answer_on_cpu(folder: Path, items: list[dict], workers: int) -> list[str]:
    groups = defaultdict(list)
    for index, item in enumerate(items):
        groups[b"".join(item["files"]) or index].append(index)
    with multiprocessing.get_context("fork").Pool(workers, load_here, (folder,)) as pool:
        replies = pool.map(answer_group, [[items[index] for index in group] for group in groups.values()], chunksize=1)
    answers = [""] * len(items)
    for group, reply in zip(groups.values(), replies):
        for index, answer in zip(group, reply):
            answers[index] = answer
    return answers


def score(answers: list[str], items: list[dict]) -> dict:
    right, total, wrong = defaultdict(int), defaultdict(int), defaultdict(list)
    for item, answer in zip(items, answers):
        skill = item["skill"]
        total[skill] += 1
        if answer.strip() == item["answer"].strip():
            right[skill] += 1
        elif len(wrong[skill]) < 60:
            wrong[skill].append([item["question"], item["answer"], answer])
    return {"table": {skill: {"right": right[skill], "of": total[skill]} for skill in total}, "wrong": wrong}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--splits", nargs="*", default=["seeds", "fonts"])
    parser.add_argument("--sets", nargs="*", type=Path, default=[])
    parser.add_argument("--skills", nargs="*", help="only these")
    parser.add_argument("--workers", type=int, default=16)
    options = parser.parse_args()
    began = time.time()
    pool = multiprocessing.get_context("fork").Pool(options.workers)  # before the device is touched
    chosen = options.skills or list(SKILLS)
    pending = {}
    for split in options.splits:
        jobs = [(skill, number, "train" if split == "seeds" else "test") for skill in chosen for number in range(options.each)]
        pending[split] = pool.map_async(drawn, jobs, chunksize=8)
    for folder in options.sets:
        pending[folder.name] = pool.map_async(dict, cases_of_set(folder), chunksize=4)
    pool.close()
    cuda = torch.cuda.is_available()
    if cuda:
        torch.set_float32_matmul_precision("highest")
        model, tokenizer = load(options.folder, "cuda")
    results = {}
    for split, job in pending.items():
        items = job.get()
        answers = answer_all(model, tokenizer, [prepare(item) for item in items]) if cuda else answer_on_cpu(options.folder, items, options.workers)
        results[split] = score(answers, items)
        print(split, f"{time.time() - began:.0f} s")
        for skill, entry in results[split]["table"].items():
            print(f"  {skill:15} {entry['right']:4} / {entry['of']:4}  {100 * entry['right'] / entry['of']:.1f} %", flush=True)
        options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
