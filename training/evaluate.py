"""Measures exact answers per skill.

usage: evaluate.py MODEL_FOLDER --out FILE.json [--each 200] [--first 0] [--splits seeds fonts] [--sets FOLDER ...] [--workers 16] [--seconds 170]

Without a GPU it answers picture after picture, every skill in turn, until `--seconds` are over; the next call with the same file
goes on where it stopped.

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
from concurrent.futures import ThreadPoolExecutor
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
    """One picture or group of pictures and one question about it. Skills that one thing draws are asked about the same pictures."""
    for attempt in range(200):
        world = World(zlib.crc32(f"{SKILLS[skill]} {seed} {attempt} {fonts}".encode()) + (1 << 40), fonts, True, "test")
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
            canvas.image.save(stream, "PNG", compress_level=1)
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
    slow = {"text": 2, "describe": 1, "talk": 1, "photograph": 1, "blank": 1, "form": 1, "compare": 1}  # long answers
    order = sorted(range(len(items)), key=lambda index: (slow.get(items[index]["skill"], 0), len(prompts[index])))
    answers = [""] * len(items)
    at = 0
    while at < len(order):
        length = len(prompts[order[at]])
        size = max(1, 80000 // (length + 130))
        batch = order[at : at + size]
        at += size
        tiles = [np.concatenate(items[index]["tiles"]) if items[index]["tiles"] else None for index in batch]
        shown = [part for part in tiles if part is not None]
        parts = iter(features_of(model, np.concatenate(shown)).split([len(part) for part in shown])) if shown else iter(())
        features = [next(parts) if part is not None else None for part in tiles]
        for index, ids in zip(batch, greedy(model, tokenizer, [prompts[index] for index in batch], features)):
            answers[index] = tokenizer.decode(ids)
    return answers


def answer_group(model, tokenizer, items: list[dict]) -> list[str]:
    """Answers to questions about the same pictures, without a GPU."""
    items = [prepare(item) for item in items]
    prefix = tokenizer.encode(layout.opening(), bos=True)
    features = features_of(model, np.concatenate(items[0]["tiles"]), 1) if items[0]["tiles"] else None
    prompts = [prefix + tokenizer.encode(layout.asked(layout.with_pictures(item["question"], [len(tiles) for tiles in item["tiles"]], item["form"]))) for item in items]
    return [tokenizer.decode(ids) for ids in greedy_with_cache(model, tokenizer, prompts, features)]


def grouped(items: list[dict]) -> list[list[int]]:
    """Places of the items that ask about the same pictures."""
    groups = defaultdict(list)
    for index, item in enumerate(items):
        groups[(item["form"], *item["files"]) if item["files"] else index].append(index)
    return list(groups.values())


def answer_on_cpu(folder: Path, items: list[dict]) -> list[str]:
    model, tokenizer = load(folder)
    answers = [""] * len(items)
    for group in grouped(items):
        for index, answer in zip(group, answer_group(model, tokenizer, [items[index] for index in group])):
            answers[index] = answer
    return answers


def rounds(options, skills: list[str]):
    """Parts of the work without a GPU, (split, name, items drawn when asked for): one picture of every kind, then the next of every kind."""
    sets = {}
    for folder in options.sets:
        kinds = defaultdict(list)
        for item in cases_of_set(folder):
            picture = item.get("image") or (item.get("images") or item.get("frames"))[0]
            kind, number = picture.split(".")[0].split("-")[:2]
            kinds[kind].append((number, item))
        sets[folder.name] = {kind: [(number, [item for each, item in items if each == number]) for number in sorted({each for each, _ in items})] for kind, items in kinds.items()}
    for number in range(options.first, options.first + options.each):
        for split in options.splits:
            for kind in dict.fromkeys(SKILLS[skill] for skill in skills):
                of_kind = [skill for skill in skills if SKILLS[skill] == kind]
                yield split, f"{kind} {number}", lambda of_kind=of_kind, split=split: [case(skill, number, "train" if split == "seeds" else "test") for skill in of_kind]
        for split, kinds in sets.items():
            for kind, pictures in kinds.items():
                if number < len(pictures):
                    yield split, f"{kind} {pictures[number][0]}", lambda items=pictures[number][1]: items


def measure_on_cpu(options, skills: list[str]) -> None:
    began = time.time()
    torch.set_num_threads(options.workers)
    model, tokenizer = load(options.folder)
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    for split, name, draw in rounds(options, skills):
        result = results.setdefault(split, {"table": {}, "wrong": {}, "done": []})
        if name in result["done"]:
            continue
        if time.time() - began > options.seconds:
            break
        items = draw()
        for group in grouped(items):
            chosen = [items[index] for index in group]
            add(result, score(answer_group(model, tokenizer, chosen), chosen))
        result["done"].append(name)
        options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        print("complete")
    report(results)


def report(results: dict) -> None:
    for split, result in results.items():
        print(split)
        for skill, entry in result["table"].items():
            print(f"  {skill:15} {entry['right']:4} / {entry['of']:4}  {100 * entry['right'] / entry['of']:.1f} %", flush=True)


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


def add(result: dict, part: dict) -> None:
    for skill, entry in part["table"].items():
        sums = result["table"].setdefault(skill, {"right": 0, "of": 0})
        sums["right"] += entry["right"]
        sums["of"] += entry["of"]
        result["wrong"].setdefault(skill, []).extend(part["wrong"].get(skill, []))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first picture: the card's table is of 0 to 149")
    parser.add_argument("--splits", nargs="*", default=["seeds", "fonts"])
    parser.add_argument("--sets", nargs="*", type=Path, default=[])
    parser.add_argument("--skills", nargs="*", help="only these")
    parser.add_argument("--workers", type=int, default=16, help="processes that draw; without a GPU, threads")
    parser.add_argument("--seconds", type=float, default=1e9, help="without a GPU: when to stop")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        measure_on_cpu(options, options.skills or list(SKILLS))
        return
    began = time.time()
    pool = multiprocessing.get_context("fork").Pool(options.workers)  # before the device is touched
    chosen = options.skills or list(SKILLS)
    pending = {}
    for split in options.splits:
        jobs = [(skill, number, "train" if split == "seeds" else "test") for skill in chosen for number in range(options.first, options.first + options.each)]
        pending[split] = pool.map_async(drawn, jobs, chunksize=8)
    for folder in options.sets:
        pending[folder.name] = pool.map_async(dict, cases_of_set(folder), chunksize=4)
    pool.close()
    torch.set_float32_matmul_precision("highest")
    model, tokenizer = load(options.folder, "cuda")
    results = {}
    for split, job in pending.items():
        items = job.get()
        with ThreadPoolExecutor(options.workers) as threads:  # Pillow works without Python's lock
            results[split] = score(answer_all(model, tokenizer, list(threads.map(prepare, items))), items)
        print(f"{time.time() - began:.0f} s")
        options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False))
    report(results)


if __name__ == "__main__":
    main()
