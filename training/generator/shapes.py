"""Scenes of coloured shapes: colours, shapes, counts, places, relations."""

import math
from dataclasses import dataclass

from .canvas import MARK_OF_SHAPE, Canvas, World, lightness
from .phrases import Question, ask, ask_chinese
from .vocabulary import COLOURS, NUMBER_WORDS, PLACES, SHAPES


@dataclass
class Pose:
    """How a shape is drawn: its turn in radians, and how far its second proportion goes (of a rectangle, diamond, triangle or star)."""

    turn: float
    stretch: float


@dataclass
class Figure:
    shape: str
    colour: str
    x: float
    y: float
    radius: float
    pose: Pose | None = None  # chosen when it is first painted

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


# How far a shape may be turned and still be called by its name, and the limits of its second proportion.
FREE = {"hexagon": math.pi, "triangle": math.pi, "star": math.pi, "rectangle": math.pi, "cross": math.pi, "square": 0.3, "diamond": 0.12, "heart": 0.0}
STRETCH = {"rectangle": (0.28, 0.58), "diamond": (0.55, 0.8), "triangle": (0.75, 1.2), "star": (0.36, 0.5), "ring": (0.18, 0.42), "cross": (0.24, 0.4)}


def posed(world: World, shape: str) -> Pose:
    """Upright, lying, a little turned, or turned by any angle."""
    pick = world.random
    free = FREE.get(shape, 0.0)
    kind = pick.random()
    turn = 0.0 if kind < 0.25 else pick.uniform(-0.16, 0.16) if kind < 0.5 else pick.uniform(-free, free)
    if shape in ("rectangle", "hexagon") and kind < 0.5 and pick.random() < 0.5:
        turn += math.pi / 2
    return Pose(max(-free, turn) if free < 0.2 else turn, pick.uniform(*STRETCH.get(shape, (1.0, 1.0))))


def regular(x, y, radius, corners, turn):
    return [(x + radius * math.cos(turn + 2 * math.pi * k / corners), y + radius * math.sin(turn + 2 * math.pi * k / corners)) for k in range(corners)]


def turned(x: float, y: float, corners, turn: float) -> list[tuple[float, float]]:
    cosine, sine = math.cos(turn), math.sin(turn)
    return [(x + cosine * dx - sine * dy, y + sine * dx + cosine * dy) for dx, dy in corners]


def outline_of(shape: str, x: float, y: float, radius: float, pose: Pose) -> list[tuple[float, float]]:
    """Corner points of a shape that fits a circle of this radius."""
    turn, stretch = pose.turn, pose.stretch
    if shape == "triangle":
        wide = min(1.0, stretch)
        corners = [(wide * dx, dy * min(1.0, 1 / stretch)) for dx, dy in regular(0, 0, radius, 3, -math.pi / 2)]
    elif shape == "hexagon":
        corners = regular(0, 0, radius, 6, 0)
    elif shape == "diamond":
        corners = [(0, -radius), (stretch * radius, 0), (0, radius), (-stretch * radius, 0)]
    elif shape == "star":
        points = regular(0, 0, radius, 5, -math.pi / 2)
        inner = regular(0, 0, radius * stretch, 5, -math.pi / 2 + math.pi / 5)
        corners = [point for pair in zip(points, inner) for point in pair]
    elif shape == "heart":
        steps = [2 * math.pi * k / 28 for k in range(28)]
        corners = [(radius * math.sin(t) ** 3, -radius * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16) for t in steps]
    elif shape == "cross":
        thin = stretch * radius
        corners = [(-thin, -radius), (thin, -radius), (thin, -thin), (radius, -thin), (radius, thin), (thin, thin), (thin, radius), (-thin, radius), (-thin, thin), (-radius, thin), (-radius, -thin), (-thin, -thin)]
    elif shape == "rectangle":
        long = radius / math.hypot(1, stretch)
        short = stretch * long
        corners = [(-long, -short), (long, -short), (long, short), (-long, short)]
    else:
        side = 0.74 * radius
        corners = [(-side, -side), (side, -side), (side, side), (-side, side)]
    return turned(x, y, corners, turn)


def paint(canvas: Canvas, world: World, figure: Figure, ink=None, edge=None) -> None:
    x, y, radius = figure.x, figure.y, figure.radius
    ink = ink or world.colour(figure.colour)
    figure.pose = figure.pose or posed(world, figure.shape)
    width = max(1, round(1.6 * canvas.unit)) if edge else 0
    if figure.shape == "circle":
        canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink, outline=edge, width=width)
    elif figure.shape == "ring":
        canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=max(3, round(figure.pose.stretch * radius)))
    else:
        points = outline_of(figure.shape, x, y, radius, figure.pose)
        canvas.draw.polygon(points, fill=ink)
        if edge:
            canvas.draw.line(points + points[:1], fill=edge, width=width)
    reach = 0.7 * radius
    canvas.marks.append((x - reach, y - reach, x + reach, y + reach, MARK_OF_SHAPE[figure.shape]))


def visible_on(background: tuple[int, int, int], background_name: str | None) -> list[str]:
    """The colours that can be told from a background."""
    clashes = {"orange": {"brown", "yellow", "red"}, "pink": {"white"}, "brown": {"orange", "red", "black"}, "purple": {"black", "blue"}, "blue": {"purple"}}
    near = clashes.get(background_name, set()) | {background_name}
    def apart(name):
        colour = COLOURS[name][0]
        return sum(abs(a - b) for a, b in zip(colour, background)) > 110
    return [name for name in COLOURS if name not in near and apart(name)]


def place(world: World, canvas: Canvas, count: int, largest: float, smallest: float) -> list[tuple[float, float, float]]:
    """Centres and radii that do not touch."""
    spots: list[tuple[float, float, float]] = []
    unit = canvas.unit
    for _ in range(count):
        for attempt in range(60):
            radius = world.random.uniform(smallest, largest * (1 - attempt / 100)) * unit
            x = world.random.uniform(radius + 3, canvas.width - radius - 3)
            y = world.random.uniform(radius + 3, canvas.height - radius - 3)
            if all(math.hypot(x - a, y - b) > radius + c + 6 * unit for a, b, c in spots):
                spots.append((x, y, radius))
                break
    return spots


def start(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, str]:
    name = "white" if world.random.random() < 0.4 else world.random.choice(list(COLOURS))
    background = world.colour(name)
    canvas = Canvas(width, height, background, sx, sy)
    if world.random.random() < 0.3:
        canvas.grain(world)
    return canvas, name


def place_name(canvas: Canvas, figure: Figure) -> tuple[str, str] | None:
    """Where a figure stands in a 3 x 3 grid, or None near a line between two answers."""
    column, row = figure.x / canvas.width * 3, figure.y / canvas.height * 3
    if any(abs(value - line) < 0.16 for value in (column, row) for line in (1, 2)):
        return None
    return PLACES[(min(2, int(column)), min(2, int(row)))]


def article(name: str) -> str:
    return ("an " if name[0] in "aeiou" else "a ") + name


def listing(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def describe(figures: list[Figure], background: str) -> str:
    ordered = sorted(figures, key=lambda figure: figure.x)
    if len(figures) <= 4:
        text = listing([article(figure.name) for figure in ordered])
        return text[0].upper() + text[1:] + f" on a {background} background."
    return f"{NUMBER_WORDS[len(figures)].capitalize()} shapes on a {background} background."


def questions(world: World, canvas: Canvas, figures: list[Figure], background: str) -> list[Question]:
    pick, found = world.random, []
    shapes = [figure.shape for figure in figures]
    colours = [figure.colour for figure in figures]
    names = [figure.name for figure in figures]
    def add(skill, key, answer, chinese=None, **words):
        found.append(ask(pick, skill, key, answer, **words))
        if chinese is not None and pick.random() < 0.12:
            found[-1] = ask_chinese(pick, skill, key, chinese, **words)
    for figure in figures:
        zh = dict(zh_shape=SHAPES[figure.shape][1], zh_colour=COLOURS[figure.colour][1])
        if shapes.count(figure.shape) == 1:
            add("colour", "colour of shape", figure.colour, COLOURS[figure.colour][1], shape=figure.shape, **zh)
        if colours.count(figure.colour) == 1:
            add("shape", "shape of colour", figure.shape, SHAPES[figure.shape][1], colour=figure.colour, **zh)
        where = place_name(canvas, figure)
        if where and names.count(figure.name) == 1:
            name = figure.shape if shapes.count(figure.shape) == 1 and pick.random() < 0.5 else figure.name
            add("position", "place of figure", where[0], where[1], figure=name, zh_figure=zh["zh_colour"] + zh["zh_shape"])
            same = [other for other in figures if place_name(canvas, other) in (where, None)]
            if len(same) == 1:
                add("position", "figure at place", figure.name, zh["zh_colour"] + zh["zh_shape"], place=where[0], zh_place=where[1])
    if len(figures) == 1:
        add("colour", "only colour", colours[0], COLOURS[colours[0]][1])
        add("shape", "only shape", shapes[0], SHAPES[shapes[0]][1])
    add("count", "how many shapes", str(len(figures)), str(len(figures)))
    for _ in range(world.counts):
        colour = pick.choice(colours + list(COLOURS)[:3])
        if colour != background:
            add("count", "how many of colour", str(colours.count(colour)), str(colours.count(colour)), colour=colour, zh_colour=COLOURS[colour][1])
        shape = pick.choice(shapes + list(SHAPES)[:3])
        add("count", "how many of shape", str(shapes.count(shape)), str(shapes.count(shape)), plural=SHAPES[shape][0], zh_shape=SHAPES[shape][1])
    shape = pick.choice(shapes + list(SHAPES))
    add("colour", "is there", "yes" if shape in shapes else "no", "有" if shape in shapes else "没有", thing=article(shape), zh_thing=SHAPES[shape][1])
    add("colour", "background", background, COLOURS[background][1])
    if len(figures) >= 2:
        a, b = pick.sample(figures, 2)
        if names.count(a.name) == 1 and names.count(b.name) == 1:
            gap = 0.12
            dx, dy = (b.x - a.x) / canvas.width, (b.y - a.y) / canvas.height
            if abs(dx) > gap and abs(dx) > abs(dy) * 0.6:
                side = pick.choice(("left of", "right of"))
                add("position", "relation", "yes" if (dx > 0) == (side == "left of") else "no", a=a.name, b=b.name, side=side)
            if abs(dy) > gap and abs(dy) > abs(dx) * 0.6:
                side = pick.choice(("above", "below"))
                add("position", "relation", "yes" if (dy > 0) == (side == "above") else "no", a=a.name, b=b.name, side=side)
            if a.radius > 1.45 * b.radius or b.radius > 1.45 * a.radius:
                add("position", "which is bigger", (a if a.radius > b.radius else b).name, a=a.name, b=b.name)
        ordered = sorted(figures, key=lambda figure: figure.x)
        if ordered[1].x - ordered[0].x > 0.06 * canvas.width and ordered[-1].x - ordered[-2].x > 0.06 * canvas.width:
            add("position", "leftmost", ordered[0].name)
            add("position", "rightmost", ordered[-1].name)
    missing = [shape for shape in SHAPES if shape not in shapes]
    if missing and pick.random() < 0.15:
        shape = pick.choice(missing)
        add("missing", "colour of shape", f"There is no {shape} in the picture.", shape=shape)
    add("describe", "describe", describe(figures, background))
    pick.shuffle(found)
    most = {"count": 1 + 2 * world.counts}
    return [question for index, question in enumerate(found) if sum(other.skill == question.skill for other in found[:index]) < most.get(question.skill, 3)]


def scene(world: World, width: int, height: int, sx: float, sy: float, count: int | None = None) -> tuple[Canvas, list[Question]]:
    pick = world.random
    canvas, background = start(world, width, height, sx, sy)
    allowed = visible_on(canvas.background, background)
    if count is None:
        count = pick.choice((1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9))
    spots = place(world, canvas, count, largest={1: 150, 2: 100, 3: 85, 4: 75}.get(count, 62), smallest=26 if count < 5 else 22)
    few_shapes = pick.sample(list(SHAPES), pick.randint(1, 3)) if pick.random() < 0.4 else list(SHAPES)
    few_colours = pick.sample(allowed, min(len(allowed), pick.randint(1, 3))) if pick.random() < 0.4 else allowed
    edge = pick.choice((None, None, (0, 0, 0), (90, 90, 90))) if lightness(canvas.background) > 90 else None
    figures = []
    for x, y, radius in spots:
        figures.append(Figure(pick.choice(few_shapes), pick.choice(few_colours), x, y, radius))
        paint(canvas, world, figures[-1], edge=edge)
    return canvas, questions(world, canvas, figures, background)
