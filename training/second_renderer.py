"""Test pictures by renderers that share no code with the generator: shapes, pairs, clips, text, receipts and forms by cairo,
charts by matplotlib; and photographs that training never saw, cropped by Pillow.

usage: second_renderer.py OUTPUT_FOLDER [--each 30] [--seed 1]
Writes PNG and JPEG files and questions.json. Needs python3-cairo, python3-matplotlib and python3-pil.
"""

import argparse
import json
import math
import random
import zlib
from pathlib import Path

import cairo
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

COLOURS = {
    "red": "#e02020", "green": "#2a9d2a", "blue": "#2050e0", "yellow": "#ffdd22", "orange": "#ff8c1a", "purple": "#7b2fa8",
    "pink": "#ff9ec4", "brown": "#7a4a21", "black": "#000000", "grey": "#888888",
}
PLURALS = {"circle": "circles", "square": "squares", "rectangle": "rectangles", "triangle": "triangles", "star": "stars", "diamond": "diamonds", "hexagon": "hexagons"}
PLACES = [["top left", "top", "top right"], ["left", "centre", "right"], ["bottom left", "bottom", "bottom right"]]
ROOT = Path(__file__).resolve().parents[1]
WORDS = ROOT / ".carry/assets/words.txt"
# Whole photographs: those that prepare_assets.py keeps for testing, and the repository's own example.
PHOTOGRAPHS = [*sorted((ROOT / ".carry/assets/photographs/test").glob("*.jpg")), ROOT / "examples/photos/coffee.jpg"]
PHOTOGRAPH = "I do not know: I was trained on drawings, charts and printed text, and this looks like a photograph."
BLANK = "I do not see anything: the picture looks blank."
TRAVELS = {"from left to right": (1, 0), "from right to left": (-1, 0), "from top to bottom": (0, 1), "from bottom to top": (0, -1)}


def rgb(code: str) -> tuple[float, float, float]:
    return tuple(int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))


def held_out_words() -> list[str]:
    return [word for word in WORDS.read_text().split() if zlib.crc32(word.encode()) % 10 == 0 and len(word) > 2]


def trace(context: cairo.Context, shape: str, x: float, y: float, r: float) -> None:
    context.new_path()
    if shape == "circle":
        context.arc(x, y, r, 0, 2 * math.pi)
    elif shape == "square":
        context.rectangle(x - 0.8 * r, y - 0.8 * r, 1.6 * r, 1.6 * r)
    elif shape == "rectangle":
        context.rectangle(x - r, y - 0.45 * r, 2 * r, 0.9 * r)
    else:
        corners = {"triangle": 3, "diamond": 4, "hexagon": 6, "star": 10}[shape]
        for k in range(corners):
            angle = -math.pi / 2 + 2 * math.pi * k / corners
            reach = r * (0.45 if shape == "star" and k % 2 else 1)
            narrow = 0.7 if shape == "diamond" else 1
            context.line_to(x + narrow * reach * math.cos(angle), y + reach * math.sin(angle))
    context.close_path()
    context.fill()


def surface(width: int, height: int, colour=(1, 1, 1)) -> tuple[cairo.ImageSurface, cairo.Context]:
    image = cairo.ImageSurface(cairo.FORMAT_RGB24, width, height)
    context = cairo.Context(image)
    context.set_source_rgb(*colour)
    context.paint()
    return image, context


def shapes(pick: random.Random, path: Path) -> list[tuple[str, str, str]]:
    width, height = pick.choice(((448, 448), (500, 420), (600, 500), (400, 440), (800, 400)))
    image, context = surface(width, height, pick.choice(((1, 1, 1), (1, 1, 1), (0.94, 0.97, 1))))
    cells = [(column, row) for column in range(3) for row in range(3)]
    chosen = pick.sample(cells, pick.randint(1, 6))
    figures = []
    for column, row in chosen:
        shape, colour = pick.choice(list(PLURALS)), pick.choice(list(COLOURS))
        r = pick.uniform(0.26, 0.42) * min(width, height) / 3
        x = (column + 0.5 + pick.uniform(-0.06, 0.06)) * width / 3
        y = (row + 0.5 + pick.uniform(-0.06, 0.06)) * height / 3
        context.set_source_rgb(*rgb(COLOURS[colour]))
        trace(context, shape, x, y, r)
        figures.append((shape, colour, column, row))
    image.write_to_png(str(path))
    kinds, inks = [f[0] for f in figures], [f[1] for f in figures]
    found = []
    for shape, colour, column, row in figures:
        if kinds.count(shape) == 1:
            found.append(("colour", f"What colour is the {shape}?", colour))
        if inks.count(colour) == 1:
            found.append(("shape", f"What shape is {colour}?", shape))
        if [f[:2] for f in figures].count((shape, colour)) == 1:
            found.append(("position", f"Where is the {colour} {shape}?", PLACES[row][column]))
            found.append(("position", f"What is at the {PLACES[row][column]}?", f"{colour} {shape}"))
    shape = pick.choice(kinds)
    found.append(("count", "How many shapes are there?", str(len(figures))))
    found.append(("count", f"How many {PLURALS[shape]} are there?", str(kinds.count(shape))))
    return found


def face(context: cairo.Context, pick: random.Random, size: float, family: str | None = None) -> None:
    slant = cairo.FONT_SLANT_ITALIC if pick.random() < 0.15 else cairo.FONT_SLANT_NORMAL
    weight = cairo.FONT_WEIGHT_BOLD if pick.random() < 0.35 else cairo.FONT_WEIGHT_NORMAL
    context.select_font_face(family or pick.choice(("sans-serif", "serif", "monospace")), slant, weight)
    context.set_font_size(size)


def text(pick: random.Random, path: Path, number: bool) -> list[tuple[str, str, str]]:
    width, height = pick.choice(((448, 448), (480, 420), (560, 500), (640, 320), (300, 280)))
    image, context = surface(width, height, (1, 1, 1) if pick.random() < 0.5 else tuple(pick.uniform(0.75, 1) for _ in range(3)))
    word = str(pick.randint(0, 10 ** pick.randint(1, 6) - 1)) if number else pick.choice(held_out_words())
    if not number:
        word = pick.choice((word, word.capitalize(), word.upper()))
    size = pick.uniform(20, 64)
    face(context, pick, size)
    while context.text_extents(word).x_advance > 0.92 * width:
        size *= 0.9
        context.set_font_size(size)
    span = context.text_extents(word).x_advance
    context.set_source_rgb(*[pick.uniform(0, 0.35) for _ in range(3)])
    context.move_to(pick.uniform(0.03 * width, 0.97 * width - span), pick.uniform(1.2 * size, height - 0.5 * size))
    context.show_text(word)
    image.write_to_png(str(path))
    return [("number", "What number is shown?", word)] if number else [("word", "What word is printed?", word)]


def sheet(pick: random.Random, path: Path) -> list[tuple[str, str, str]]:
    """A receipt or a form."""
    width, height = pick.choice(((420, 480), (480, 480), (400, 440)))
    image, context = surface(width, height, (1, 1, 1) if pick.random() < 0.6 else (0.99, 0.98, 0.94))
    size = pick.uniform(18, 22)
    face(context, pick, size, pick.choice(("sans-serif", "monospace", "serif")))
    context.set_source_rgb(0.05, 0.05, 0.1)
    found = []
    if pick.random() < 0.5:
        shop = pick.choice(("Corner", "Green", "Harbour", "Sunny", "Central")) + " " + pick.choice(("Market", "Store", "Cafe", "Bakery"))
        context.move_to((width - context.text_extents(shop).x_advance) / 2, 40)
        context.show_text(shop)
        found.append(("form", "What is the name of the shop?", shop))
        y, total = 90.0, 0
        for item in pick.sample("Milk Bread Butter Cheese Eggs Rice Coffee Tea Juice Apples Bananas Soap Honey Pasta".split(), pick.randint(2, 5)):
            cents = pick.randint(50, 1999)
            total += cents
            price = f"{cents // 100}.{cents % 100:02}"
            context.move_to(30, y)
            context.show_text(item)
            context.move_to(width - 30 - context.text_extents(price).x_advance, y)
            context.show_text(price)
            found.append(("form", f"How much is the {item}?", price))
            y += 1.7 * size
        price = f"{total // 100}.{total % 100:02}"
        context.move_to(30, y + 8)
        context.show_text("Total")
        context.move_to(width - 30 - context.text_extents(price).x_advance, y + 8)
        context.show_text(price)
        found += [("form", "What is the total?", price)] * 2
    else:
        fields = {
            "Name": pick.choice(("Alice", "Bruno", "Clara", "Henry", "Maria")) + " " + pick.choice(("Smith", "Weber", "Rossi", "Park", "Stone")), "City": pick.choice(("Paris", "Oslo", "Madrid", "Lima")),
            "Phone": f"{pick.randint(100, 999)}-{pick.randint(1000, 9999)}", "Age": str(pick.randint(18, 90)), "Room": str(pick.randint(1, 400)),
            "Date": f"{pick.randint(1, 28):02}/{pick.randint(1, 12):02}/{pick.randint(2000, 2026)}", "Order number": str(pick.randint(1000, 99999)),
        }
        y = 60.0
        for name in pick.sample(list(fields), 5):
            context.move_to(30, y)
            context.show_text(f"{name}: {fields[name]}")
            found.append(("form", f"What is the {name.lower()}?", fields[name]))
            y += 2.2 * size
    image.write_to_png(str(path))
    return pick.sample(found, 2)


def chart(pick: random.Random, path: Path) -> list[tuple[str, str, str]]:
    """matplotlib in its own style: bars, lying bars, a line or a pie."""
    kind = pick.choice(("bar", "bar", "barh", "line", "pie"))
    labels = pick.choice((["Jan", "Feb", "Mar", "Apr", "May", "Jun"], ["Mon", "Tue", "Wed", "Thu", "Fri"], list("ABCDEF"), ["Oslo", "Lima", "Rome", "Paris", "Cairo"], ["2019", "2020", "2021", "2022", "2023"]))
    labels = labels[: min(pick.randint(3, len(labels)), 5 if kind == "pie" else 6)]  # six different shares by fives are over 100
    while True:
        values = [pick.randint(1, 20) * 5 for _ in labels]
        if kind == "pie":
            values[-1] = 100 - sum(values[:-1])
        if len(set(values)) == len(values) and min(values) >= 5:
            break
    figure, axes = plt.subplots(figsize=pick.choice(((6.4, 4.8), (5, 5), (6, 4))), dpi=100)
    plt.rcParams["font.size"] = 12
    colour = pick.choice(("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"))
    suffix = ""
    if kind == "pie":
        axes.pie(values, labels=labels, autopct="%.0f%%")
        suffix = "%"
    elif kind == "line":
        axes.plot(labels, values, marker="o", color=colour)
        axes.set_ylim(0, 100)
        axes.grid(axis="y")
        for x, y in zip(labels, values):
            axes.annotate(str(y), (x, y), textcoords="offset points", xytext=(0, 6), ha="center")
        axes.set_ylim(0, 112)
    else:
        bars = (axes.bar if kind == "bar" else axes.barh)(labels, values, color=colour)
        if pick.random() < 0.6:
            axes.bar_label(bars, padding=2)
        elif kind == "bar":
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        (axes.set_ylim if kind == "bar" else axes.set_xlim)(0, 110)
    axes.set_title(pick.choice(("Sales", "Visitors", "Rainfall", "Votes", "Points")) + " " + pick.choice(("by month", "this year", "in 2023")))
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    which = pick.randrange(len(labels))
    return [
        ("chart value", f"What is the value of {labels[which]}?", f"{values[which]}{suffix}"),
        ("chart largest", "Which has the largest value?", labels[values.index(max(values))]),
        ("chart smallest", "Which has the smallest value?", labels[values.index(min(values))]),
    ]


def draw_all(figures: list[tuple], width: int, height: int, path: Path) -> None:
    """Figures (shape, colour, x, y, r) on white."""
    image, context = surface(width, height)
    for shape, colour, x, y, r in figures:
        context.set_source_rgb(*rgb(COLOURS[colour]))
        trace(context, shape, x, y, r)
    image.write_to_png(str(path))


def with_article(name: str) -> str:
    return ("an " if name[0] in "aeiou" else "a ") + name


def pair(pick: random.Random, paths: list[Path]) -> list[tuple[str, str, str]]:
    """Two pictures of shapes: the same, one colour or shape changed, or one more shape."""
    width, height = pick.choice(((448, 448), (500, 420), (400, 440)))
    cells = pick.sample([(column, row) for column in range(3) for row in range(3)], 4)
    figures = []
    for (column, row), shape in zip(cells[: pick.randint(1, 3)], pick.sample(list(PLURALS), 4)):
        r = pick.uniform(0.28, 0.42) * min(width, height) / 3
        figures.append((shape, pick.choice(list(COLOURS)), (column + 0.5) * width / 3, (row + 0.5) * height / 3, r))
    unused = [shape for shape in PLURALS if shape not in [figure[0] for figure in figures]]
    other = list(figures)
    kind = pick.choice(("same", "colour", "shape", "more"))
    which = pick.randrange(len(figures))
    shape, colour, x, y, r = figures[which]
    found = [("compare", "Are the two pictures the same?", "yes" if kind == "same" else "no")]
    if kind == "same":
        found.append(("compare", "What is the difference?", "There is no difference: the pictures are the same."))
    elif kind == "colour":
        changed = pick.choice([name for name in COLOURS if name != colour])
        other[which] = (shape, changed, x, y, r)
        found.append(("compare", "What is the difference?", f"The {shape} is {colour} in the first picture and {changed} in the second."))
    elif kind == "shape":
        changed = pick.choice(unused)
        other[which] = (changed, colour, x, y, r)
        found.append(("compare", "What is the difference?", f"The first picture has {with_article(f'{colour} {shape}')}, the second {with_article(f'{colour} {changed}')}."))
        found.append(("compare", f"Which picture has {with_article(changed)}?", "the second"))
    else:
        column, row = cells[3]
        other.append((unused[0], pick.choice(list(COLOURS)), (column + 0.5) * width / 3, (row + 0.5) * height / 3, 0.35 * min(width, height) / 3))
        found[0] = ("compare", "Which picture has more shapes?", "the second")
        found.append(("compare", f"Which picture has {with_article(unused[0])}?", "the second"))
    nth, side = pick.choice((("first", figures), ("second", other)))
    asked = pick.choice(side)
    found.append(("compare", f"What colour is the {asked[0]} in the {nth} picture?", asked[1]))
    draw_all(figures, width, height, paths[0])
    draw_all(other, width, height, paths[1])
    return found


def clip(pick: random.Random, paths: list[Path]) -> list[tuple[str, str, str]]:
    """One shape crosses the picture in eight frames; another may stand still."""
    width, height = pick.choice(((320, 320), (400, 300), (480, 270)))
    travel = pick.choice(list(TRAVELS))
    dx, dy = TRAVELS[travel]
    shapes_here, colours = pick.sample(list(PLURALS), 2), [pick.choice(list(COLOURS)) for _ in range(2)]
    lane, r = pick.uniform(0.25, 0.4), 0.11 * min(width, height)
    still = pick.random() < 0.6
    for number, path in enumerate(paths):
        along = 0.15 + 0.7 * number / (len(paths) - 1)
        along = 1 - along if dx + dy < 0 else along
        x, y = (along * width, lane * height) if dx else (lane * width, along * height)
        figures = [(shapes_here[0], colours[0], x, y, 1.3 * r)]
        if still:
            figures.append((shapes_here[1], colours[1], 0.7 * width, 0.75 * height, r))
        draw_all(figures, width, height, path)
    return [
        ("clip", "What happens in the video?", f"The {colours[0]} {shapes_here[0]} moves {travel}."),
        ("clip", f"In which direction does the {shapes_here[0]} move?", travel),
        ("clip", "Which shape moves?", f"{colours[0]} {shapes_here[0]}"),
    ]


def photograph(pick: random.Random, path: Path) -> list[tuple[str, str, str]]:
    source = Image.open(pick.choice(PHOTOGRAPHS)).convert("RGB")
    width, height = pick.choice(((448, 448), (640, 480), (480, 640), (600, 400)))
    share = pick.uniform(0.5, 1) * min(source.width / width, source.height / height)
    x, y = pick.uniform(0, source.width - share * width), pick.uniform(0, source.height - share * height)
    source.resize((width, height), Image.LANCZOS, box=(x, y, x + share * width, y + share * height)).save(path.with_suffix(".jpg"), quality=88)
    return [("photograph", pick.choice(("What is in the picture?", "Describe the image.", "What do you see?", "What is this?", "What does it say?")), PHOTOGRAPH)]


def blank(pick: random.Random, path: Path) -> list[tuple[str, str, str]]:
    colour = pick.choice(((1, 1, 1), (0, 0, 0), tuple(pick.uniform(0, 1) for _ in range(3))))
    image, _ = surface(*pick.choice(((448, 448), (640, 480), (300, 500))), colour)
    image.write_to_png(str(path))
    return [("blank", pick.choice(("What is in the picture?", "Describe the image.", "What do you see?", "How many shapes are there?", "Read the text.")), BLANK)]


# How many questions of one skill are asked about one picture.
ASKED = {"sheet": 2, "pair": 2, "clip": 2}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=30, help="pictures of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    drawers = {
        "shapes": shapes, "word": lambda p, f: text(p, f, False), "number": lambda p, f: text(p, f, True), "sheet": sheet, "chart": chart,
        "pair": pair, "clip": clip, "photograph": photograph, "blank": blank,
    }
    entries = []
    for kind, drawer in drawers.items():
        for number in range(options.each):
            pick = random.Random(f"{kind} {number} {options.seed}")
            name = f"{kind}-{number:03}.png"
            given: dict = {"image": name}
            if kind in ("pair", "clip"):
                names = [f"{kind}-{number:03}-{part}.png" for part in range(1, 3 if kind == "pair" else 9)]
                given = {"images" if kind == "pair" else "frames": names}
                found = drawer(pick, [options.folder / each for each in names])
            else:
                found = drawer(pick, options.folder / name)
                if kind == "photograph":
                    given = {"image": name.replace(".png", ".jpg")}
            pick.shuffle(found)
            seen: list[str] = []
            for skill, question, answer in found:
                if seen.count(skill) < ASKED.get(kind, 1):
                    seen.append(skill)
                    entries.append({**given, "question": question, "answer": answer, "skill": skill})
    (options.folder / "questions.json").write_text(json.dumps(entries, indent=1) + "\n")
    print(len(entries), "questions about", options.each * len(drawers), "samples")


if __name__ == "__main__":
    main()
