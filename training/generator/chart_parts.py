"""What charts are about: labels, titles, questions; fonts, titles and colours that bars, lines and pies share."""

from dataclasses import dataclass, field

from .canvas import Canvas, Typeface, World, lightness, typeface
from .phrases import Question, ask, ask_either
from .shapes import visible_on
from .vocabulary import CITIES, DAYS, FIRST_NAMES, FRUITS, MONTHS, SCOPES, SUBJECTS


@dataclass
class Data:
    kind: str
    labels: list[str]
    title: str
    values: list[int] = field(default_factory=list)
    colours: list[str | None] = field(default_factory=list)


def labels(world: World, count: int, longest: int) -> list[str]:
    """Distinct short labels."""
    pick = world.random
    kind = pick.random()
    if kind < 0.16:
        pool = MONTHS
    elif kind < 0.28:
        pool = DAYS
    elif kind < 0.36:
        first = pick.randint(1990, 2020)
        pool = [str(first + k) for k in range(12)]
    elif kind < 0.44:
        pool = list("ABCDEFGHIJ")
    elif kind < 0.52:
        pool = [f"Q{k}" for k in range(1, 5)] if count <= 4 else [f"T{k}" for k in range(1, 12)]
    elif kind < 0.72:
        pool = pick.choice((FRUITS, CITIES, FIRST_NAMES))
    else:
        pool = [world.word(8, 3).capitalize() if pick.random() < 0.7 else world.word(8, 3) for _ in range(count * 3)]
    pool = list(dict.fromkeys(label for label in pool if len(label) <= longest))
    if len(pool) < count:
        pool = list("ABCDEFGHIJKL")
    if kind < 0.44 and pick.random() < 0.7:
        first = pick.randint(0, len(pool) - count)
        return pool[first : first + count]
    return pick.sample(pool, count)


def title(world: World) -> str:
    pick = world.random
    subject = pick.choice(SUBJECTS) if pick.random() < 0.8 else world.word(9, 4).capitalize()
    if pick.random() < 0.3:
        return subject
    return f"{subject} {pick.choice(SCOPES)}" if pick.random() < 0.8 else f"{subject} of {pick.choice(CITIES + FIRST_NAMES)}"


def distinct_ends(values: list[int]) -> bool:
    """Whether one value alone is the largest, and one the smallest."""
    return values.count(max(values)) == 1 and values.count(min(values)) == 1


def questions(world: World, chart: Data) -> list[Question]:
    """Every label's value, largest and smallest; of the other questions a part, so that half of what is asked are values."""
    pick, found = world.random, []
    thing, things = {"bar": ("bar", "bars"), "line": ("point", "points"), "pie": ("slice", "slices")}[chart.kind]
    order = list(range(len(chart.labels)))
    pick.shuffle(order)
    suffix = "%" if chart.kind == "pie" else ""
    for index in order:
        found.append(ask_either(pick, "chart value", "value", f"{chart.values[index]}{suffix}", label=chart.labels[index]))
    if chart.values.count(max(chart.values)) == 1:
        found.append(ask_either(pick, "chart largest", "largest", chart.labels[chart.values.index(max(chart.values))], thing=thing))
        if pick.random() < 0.4:
            found.append(ask(pick, "chart value", "largest value", f"{max(chart.values)}{suffix}"))
    if chart.values.count(min(chart.values)) == 1:
        found.append(ask_either(pick, "chart smallest", "smallest", chart.labels[chart.values.index(min(chart.values))], thing=thing))
        if pick.random() < 0.4:
            found.append(ask(pick, "chart value", "smallest value", f"{min(chart.values)}{suffix}"))
    if chart.title and pick.random() < 0.5:
        found.append(ask_either(pick, "chart title", "title", chart.title))
    if pick.random() < 0.4:
        found.append(ask(pick, "count", "how many bars", str(len(chart.labels)), things=things))
    if pick.random() < 0.3:
        found.append(ask(pick, "chart kind", "kind of chart", f"{chart.kind} chart"))
    a, b = order[:2]
    if chart.values[a] != chart.values[b] and pick.random() < 0.5:
        found.append(ask(pick, "chart compare", "greater", "yes" if chart.values[a] > chart.values[b] else "no", a=chart.labels[a], b=chart.labels[b]))
    if chart.colours and chart.colours[0] and pick.random() < 0.5:
        found.append(ask(pick, "colour", "colour of label", chart.colours[a], label=chart.labels[a]))
    found.append(ask(pick, "chart list", "list values", ", ".join(f"{label} {value}{suffix}" for label, value in zip(chart.labels, chart.values))))
    if pick.random() < 0.4:
        found.append(ask(pick, "chart list", "list labels", ", ".join(chart.labels)))
    if pick.random() < 0.4:
        named = f' with the title "{chart.title}"' if chart.title else ""
        found.append(ask(pick, "describe", "describe", f"A {chart.kind} chart{named} and {len(chart.labels)} {things}."))
    return found


def chart_faces(world: World, canvas: Canvas) -> tuple[Typeface, Typeface]:
    """The fonts of labels and of the title."""
    small = canvas.smallest_print * (1 + 1.9 * world.random.random() ** 1.4)
    path = world.face(12).font.path
    title_path = path if world.random.random() < 0.6 else world.face(12).font.path
    return typeface(path, round(small)), typeface(title_path, round(small * world.random.uniform(1.0, 1.5)))


def draw_title(canvas: Canvas, chart: Data, face: Typeface, ink, world: World, middle: float, top: float) -> float:
    """Prints the title where it fits, around `middle` or at the left; returns the height it takes."""
    span = face.width(chart.title)
    if span > 0.96 * canvas.width or world.random.random() < 0.1:
        chart.title = ""
        return 0.4 * face.size
    x = min(max(middle - span / 2, 2), canvas.width - span - 2) if world.random.random() < 0.8 else 0.03 * canvas.width
    canvas.print(min(x, canvas.width - span - 2), top + 1.15 * face.size, chart.title, face, ink)
    return 1.6 * face.size


def ground(world: World) -> tuple[int, int, int]:
    pick = world.random
    if pick.random() < 0.6:
        return (255, 255, 255)
    return tuple(pick.randint(225, 255) for _ in range(3)) if pick.random() < 0.7 else tuple(pick.randint(0, 50) for _ in range(3))


def apart(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b))


def palette(world: World, background: tuple[int, int, int], count: int, each: float = 0.45) -> tuple[list, list[str | None]]:
    """Fills of bars or slices, and their names where they have any: one for all, or (a share of `each`) one of its own."""
    pick = world.random
    named = pick.random() < 0.55
    if named:
        names = visible_on(background, None)
        chosen = pick.sample(names, count) if pick.random() < each and count <= len(names) else [pick.choice(names)] * count
        fills = {name: world.colour(name) for name in chosen}
        return [fills[name] for name in chosen], list(chosen) if len(fills) == count else [None] * count
    fills: list[tuple[int, int, int]] = []
    wanted = count if pick.random() < each else 1
    for attempt in range(200):
        fill = tuple(pick.randint(0, 255) for _ in range(3))
        if apart(fill, background) > 130 - attempt / 2 and all(apart(fill, other) > 110 - attempt for other in fills[-2:] + fills[:1]):
            fills.append(fill)
        if len(fills) == wanted:
            break
    fills = (fills or [(70, 110, 180)]) * count
    return fills[:count], [None] * count
