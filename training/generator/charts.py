"""Bar, line and pie charts."""

import math
from dataclasses import dataclass, field

from PIL import Image

from .canvas import Canvas, Typeface, World, lightness, typeface
from .phrases import Question, ask, ask_either
from .shapes import visible_on
from .vocabulary import CITIES, DAYS, FIRST_NAMES, FRUITS, MONTHS, SCOPES, SUBJECTS


@dataclass
class Data:
    kind: str
    labels: list[str]
    values: list[int]
    title: str
    colours: list[str | None] = field(default_factory=list)
    ceiling: int = 100
    step: int = 20
    printed: bool = True


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


def data(world: World, kind: str, count: int, longest: int) -> Data:
    pick = world.random
    subject = pick.choice(SUBJECTS) if pick.random() < 0.8 else world.word(9, 4).capitalize()
    title = subject if pick.random() < 0.3 else f"{subject} {pick.choice(SCOPES)}" if pick.random() < 0.8 else f"{subject} of {pick.choice(CITIES + FIRST_NAMES)}"
    if kind == "pie":
        while True:
            cuts = sorted(pick.sample(range(1, 33), count - 1))
            shares = [3 * (b - a) + (1 if i == 0 else 0) for i, (a, b) in enumerate(zip([0] + cuts, cuts + [33]))]
            jitter = [0] * count
            for _ in range(count):
                a, b = pick.randrange(count), pick.randrange(count)
                if shares[a] + jitter[a] > 5:
                    jitter[a] -= 1
                    jitter[b] += 1
            values = [share + shift for share, shift in zip(shares, jitter)]
            if min(values) >= 4 and values.count(max(values)) == 1 and values.count(min(values)) == 1:
                return Data(kind, labels(world, count, longest), values, title)
    step = pick.choice((1, 2, 5, 10, 10, 20, 20, 50, 100))
    ceiling = step * pick.randint(3, 6)
    printed = pick.random() < 0.6
    unit = max(1, step // 100) if printed else (step if step == 1 else step // 2 if step % 2 == 0 else step)
    while True:
        values = [pick.randint(1, max(count + 1, ceiling // unit)) * unit for _ in range(count)]
        values = [min(value, ceiling) for value in values]
        if values.count(max(values)) == 1 and values.count(min(values)) == 1 or pick.random() < 0.02:
            break
    return Data(kind, labels(world, count, longest), values, title, ceiling=ceiling, step=step, printed=printed)


def questions(world: World, chart: Data) -> list[Question]:
    pick, found = world.random, []
    thing, things = {"bar": ("bar", "bars"), "line": ("point", "points"), "pie": ("slice", "slices")}[chart.kind]
    order = list(range(len(chart.labels)))
    pick.shuffle(order)
    suffix = "%" if chart.kind == "pie" else ""
    for index in order[:4]:
        found.append(ask_either(pick, "chart value", "value", f"{chart.values[index]}{suffix}", label=chart.labels[index]))
    if chart.values.count(max(chart.values)) == 1:
        found.append(ask_either(pick, "chart largest", "largest", chart.labels[chart.values.index(max(chart.values))], thing=thing))
        found.append(ask(pick, "chart value", "largest value", f"{max(chart.values)}{suffix}"))
    if chart.values.count(min(chart.values)) == 1:
        found.append(ask_either(pick, "chart smallest", "smallest", chart.labels[chart.values.index(min(chart.values))], thing=thing))
        found.append(ask(pick, "chart value", "smallest value", f"{min(chart.values)}{suffix}"))
    if chart.title:
        found.append(ask_either(pick, "chart title", "title", chart.title))
    found.append(ask(pick, "count", "how many bars", str(len(chart.labels)), things=things))
    found.append(ask(pick, "chart kind", "kind of chart", f"{chart.kind} chart"))
    a, b = order[:2]
    if chart.values[a] != chart.values[b]:
        found.append(ask(pick, "chart compare", "greater", "yes" if chart.values[a] > chart.values[b] else "no", a=chart.labels[a], b=chart.labels[b]))
    if chart.colours and chart.colours[0]:
        found.append(ask(pick, "colour", "colour of label", chart.colours[a], label=chart.labels[a]))
    found.append(ask(pick, "chart list", "list values", ", ".join(f"{label} {value}{suffix}" for label, value in zip(chart.labels, chart.values))))
    found.append(ask(pick, "chart list", "list labels", ", ".join(chart.labels)))
    subject = chart.title.split(" ")[0] if chart.title else ""
    found.append(ask(pick, "describe", "describe", f"A {chart.kind} chart" + (f' with the title "{chart.title}"' if subject else "") + f" and {len(chart.labels)} {things}."))
    return found


def chart_faces(world: World, canvas: Canvas) -> tuple[Typeface, Typeface]:
    """The fonts of labels and of the title."""
    small = canvas.smallest_print * (1 + 1.4 * world.random.random() ** 1.6)
    path = world.face(12).font.path
    title_path = path if world.random.random() < 0.6 else world.face(12).font.path
    return typeface(path, round(small)), typeface(title_path, round(small * world.random.uniform(1.0, 1.5)))


def draw_title(canvas: Canvas, chart: Data, face: Typeface, ink, world: World) -> float:
    """Prints the title where it fits; returns the height it takes."""
    if face.width(chart.title) > 0.96 * canvas.width or world.random.random() < 0.1:
        chart.title = ""
        return 0.4 * face.size
    if world.random.random() < 0.8:
        canvas.print_centred(canvas.width / 2, 1.15 * face.size, chart.title, face, ink)
    else:
        canvas.print(0.03 * canvas.width, 1.15 * face.size, chart.title, face, ink)
    return 1.6 * face.size


def palette(world: World, canvas: Canvas, count: int) -> tuple[list, list[str | None]]:
    """One colour for all, or one each."""
    names = visible_on(canvas.background, None)
    if world.random.random() < 0.45 and count <= len(names):
        chosen = world.random.sample(names, count)
        return [world.colour(name) for name in chosen], list(chosen)
    name = world.random.choice(names)
    ink = world.colour(name)
    return [ink] * count, [None] * count


def axes_chart(world: World, width: int, height: int, sx: float, sy: float, kind: str) -> tuple[Canvas, list[Question]]:
    pick = world.random
    background = (255, 255, 255) if pick.random() < 0.6 else tuple(pick.randint(225, 255) for _ in range(3)) if pick.random() < 0.7 else tuple(pick.randint(0, 50) for _ in range(3))
    canvas = Canvas(width, height, background, sx, sy)
    face, title_face = chart_faces(world, canvas)
    ink = (0, 0, 0) if lightness(background) > 127 else (240, 240, 240)
    sideways = kind == "bar" and pick.random() < 0.3
    count = pick.randint(2, 8)
    longest = 12
    chart = data(world, kind, count, longest)
    left_room = face.width(str(chart.ceiling)) + 0.9 * face.size
    widest = max(map(face.width, chart.labels))
    if not sideways:
        room = width - left_room - face.size
        while count > 2 and widest + 0.45 * face.size > room / count:
            count -= 1
            chart.labels, chart.values = chart.labels[:count], chart.values[:count]
            widest = max(map(face.width, chart.labels))
        if widest + 0.2 * face.size > room / count:
            chart.labels = [chr(65 + k) for k in range(count)]
    elif widest > 0.4 * width:
        chart.labels = [chr(65 + k) for k in range(count)]
        widest = face.width("M")
    top = draw_title(canvas, chart, title_face, ink, world) + (1.1 * face.size if chart.printed and not sideways else 0.5 * face.size)
    bottom = height - 1.7 * face.size
    left = (widest + 0.9 * face.size) if sideways else left_room
    right = width - (face.width("9999") if sideways else 0.6 * face.size)
    if sideways:
        while count > 2 and (bottom - top) / count < 1.25 * face.size:
            count -= 1
            chart.labels, chart.values = chart.labels[:count], chart.values[:count]
    span_x, span_y = right - left, bottom - top
    thin = max(1, round(canvas.unit * pick.uniform(0.8, 1.6)))
    grid_ink = tuple(round(0.8 * b + 0.2 * i) for b, i in zip(background, ink))
    shows_grid, shows_axis = pick.random() < 0.6, not chart.printed or pick.random() < 0.7
    if shows_axis:
        for tick in range(0, chart.ceiling + 1, chart.step):
            if sideways:
                x = left + span_x * tick / chart.ceiling
                if shows_grid:
                    canvas.draw.line((x, top, x, bottom), fill=grid_ink, width=1)
                canvas.draw.line((x, bottom, x, bottom + 0.2 * face.size), fill=ink, width=1)
                if chart.ceiling / chart.step * face.width(str(chart.ceiling)) < 1.0 * span_x or tick % (2 * chart.step) == 0:
                    canvas.print_centred(x, bottom + 1.2 * face.size, str(tick), face, ink)
            else:
                y = bottom - span_y * tick / chart.ceiling
                if shows_grid:
                    canvas.draw.line((left, y, right, y), fill=grid_ink, width=1)
                canvas.draw.line((left - 0.2 * face.size, y, left, y), fill=ink, width=1)
                canvas.print(left - 0.4 * face.size - face.width(str(tick)), y + 0.35 * face.size, str(tick), face, ink)
    inks, chart.colours = palette(world, canvas, count)
    slot = (span_y if sideways else span_x) / count
    thickness = slot * pick.uniform(0.5, 0.85)
    edge = ink if pick.random() < 0.3 else None
    points = []
    for index, (label, value) in enumerate(zip(chart.labels, chart.values)):
        middle = (top if sideways else left) + slot * (index + 0.5)
        reach = value / chart.ceiling
        text = str(value)
        if sideways:
            end = left + span_x * reach
            canvas.draw.rectangle((left, middle - thickness / 2, end, middle + thickness / 2), fill=inks[index], outline=edge)
            canvas.print(left - 0.4 * face.size - face.width(label), middle + 0.35 * face.size, label, face, ink)
            if chart.printed:
                canvas.print(end + 0.3 * face.size, middle + 0.35 * face.size, text, face, ink)
            continue
        tip = bottom - span_y * reach
        if kind == "bar":
            canvas.draw.rectangle((middle - thickness / 2, tip, middle + thickness / 2, bottom), fill=inks[index], outline=edge)
        points.append((middle, tip))
        canvas.print_centred(middle, bottom + 1.2 * face.size, label, face, ink)
        if chart.printed and kind == "bar":
            canvas.print_centred(middle, tip - 0.25 * face.size, text, face, ink)
    if kind == "line":
        chart.colours = []
        canvas.draw.line(points, fill=inks[0], width=max(2, round(2.5 * canvas.unit)), joint="curve")
        dot = pick.uniform(2.5, 5) * canvas.unit
        for (x, y), value in zip(points, chart.values):
            canvas.draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=inks[0])
            if chart.printed:
                canvas.print_centred(x, y - dot - 0.2 * face.size, str(value), face, ink)
    if sideways or pick.random() < 0.8:
        canvas.draw.line((left, top, left, bottom), fill=ink, width=thin)
    canvas.draw.line((left, bottom, right, bottom), fill=ink, width=thin)
    return canvas, questions(world, chart)


def pie(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    pick = world.random
    background = (255, 255, 255) if pick.random() < 0.6 else tuple(pick.randint(225, 255) for _ in range(3))
    canvas = Canvas(width, height, background, sx, sy)
    face, title_face = chart_faces(world, canvas)
    ink = (0, 0, 0)
    chart = data(world, "pie", pick.randint(2, 6), 9)
    count = len(chart.labels)
    top = draw_title(canvas, chart, title_face, ink, world)
    names = visible_on(background, "white")
    chart.colours = pick.sample(names, count)
    inks = [world.colour(name) for name in chart.colours]
    legend = pick.random() < 0.5
    legend_room = max(face.width(f"{label} 99%") for label in chart.labels) + 2.2 * face.size if legend else 0
    beside = legend and width - legend_room > 0.45 * width
    if legend and not beside:
        legend, legend_room = False, 0
    around = 0 if legend else max(map(face.width, chart.labels)) + 0.4 * face.size
    radius = min((width - legend_room - 2 * around) / 2, (height - top) / 2 - (0 if legend else 2.4 * face.size)) * 0.94
    if radius < 2.2 * face.size:
        return axes_chart(world, width, height, sx, sy, "bar")
    cx = (width - legend_room) / 2
    cy = top + (height - top) / 2
    scale = 2 if radius < 260 else 1  # drawn at twice the size: pieslice has no smooth edges of its own
    disc = Canvas(round(2 * radius * scale), round(2 * radius * scale), background)
    angle = pick.choice((-90, 0, pick.uniform(0, 360)))
    outside = not legend and pick.random() < 0.6
    placed = []
    for label, value, fill in zip(chart.labels, chart.values, inks):
        sweep = 3.6 * value
        disc.draw.pieslice((0, 0, disc.width - 1, disc.height - 1), angle, angle + sweep, fill=fill, outline=(255, 255, 255), width=scale)
        placed.append((math.radians(angle + sweep / 2), label, value, fill))
        angle += sweep
    canvas.image.paste(disc.image.resize((round(2 * radius), round(2 * radius)), Image.BILINEAR), (round(cx - radius), round(cy - radius)))
    for middle, label, value, fill in placed:
        text = f"{value}%"
        if value >= 7 and not outside:
            inner = (0.62 if value >= 12 else 0.78) * radius
            shade = (0, 0, 0) if lightness(fill) > 120 else (255, 255, 255)
            canvas.print_centred(cx + inner * math.cos(middle), cy + inner * math.sin(middle) + 0.35 * face.size, text, face, shade)
        if not legend:
            x, y = cx + 1.06 * radius * math.cos(middle), cy + 1.06 * radius * math.sin(middle)
            shown = f"{label} {text}" if outside and face.width(f"{label} {text}") < around else label
            start = x if math.cos(middle) >= 0 else x - face.width(shown)
            canvas.print(start, y + ((-0.9 if outside or value < 7 else 0.0) if math.sin(middle) < -0.5 else 0.9 if math.sin(middle) > 0.5 else 0.35) * face.size, shown, face, ink)
            if (outside or value < 7) and shown == label:
                start = x if math.cos(middle) >= 0 else x - face.width(text)
                canvas.print(start, y + (0.1 if math.sin(middle) < -0.5 else 1.9 if math.sin(middle) > 0.5 else 1.35) * face.size, text, face, ink)
    if legend:
        line = min(1.6 * face.size, (height - top) / count)
        y = cy - line * count / 2 + face.size
        x = width - legend_room + 0.6 * face.size
        for _, label, value, fill in placed:
            canvas.draw.rectangle((x, y - 0.7 * face.size, x + 0.8 * face.size, y + 0.1 * face.size), fill=fill)
            canvas.print(x + 1.2 * face.size, y, f"{label} {value}%" if value < 7 else label, face, ink)
            y += line
    return canvas, questions(world, chart)


def scene(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    kind = world.random.choice(("bar", "bar", "bar", "line", "line", "pie"))
    if kind == "pie":
        return pie(world, width, height, sx, sy)
    return axes_chart(world, width, height, sx, sy, kind)
