"""Charts with axes: standing and lying bars, lines."""

from dataclasses import dataclass

from PIL import Image, ImageDraw

from .canvas import Canvas, Typeface, World, lightness
from .chart_parts import Data, chart_faces, distinct_ends, draw_title, ground, labels, palette, questions, title
from .phrases import Question
from .vocabulary import SUBJECTS

LEAST_LEVEL = 13  # pixels of the tile grid between two values that are to be told apart by their height


@dataclass
class Scale:
    """The value axis: ticks from `base`, the ends `low` and `high`, and where values go on the canvas."""

    base: int
    step: int
    ticks: list[int]
    low: float
    high: float

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def scale(world: World, kind: str) -> Scale:
    """Ticks at round numbers; the axis ends at the last tick or a little above it, for lines also a little below the first."""
    pick = world.random
    step = pick.choice((1, 2, 5, 10, 10, 20, 20, 25, 50, 100))
    base = step * pick.randint(1, 5) if kind == "line" and pick.random() < 0.2 else 0
    ticks = [base + step * k for k in range(pick.randint(3, 6) + 1)]
    extent = ticks[-1] - base
    high = ticks[-1] + (extent * pick.uniform(0.01, 0.16) if pick.random() < 0.5 else 0)
    low = base - (extent * pick.uniform(0.01, 0.08) if kind == "line" and pick.random() < 0.35 else 0)
    return Scale(base, step, ticks, low, high)


def values(world: World, axis: Scale, count: int, printed: bool, pixels: float) -> list[int]:
    """Printed values are any numbers; others stand at ticks, halves, quarters or fifths that are `LEAST_LEVEL` pixels apart."""
    pick = world.random
    unit = axis.step
    if printed:
        unit = pick.choice((1, 1, 1, 5)) if axis.step >= 10 else 1
    else:
        per_step = pixels * axis.step / (axis.high - axis.low)
        parts = [part for part in (2, 4, 5) if axis.step % part == 0 and per_step / part >= LEAST_LEVEL]
        kind = pick.random()
        if parts and kind > 0.4:
            unit = axis.step // (2 if kind < 0.72 and 2 in parts else pick.choice(parts))
    most = int((axis.ticks[-1] if pick.random() < 0.6 else axis.high) - axis.base) // unit
    least = 0 if axis.base or axis.low < axis.base else 1
    for attempt in range(60):
        found = [axis.base + unit * pick.randint(least, max(most, least + 1)) for _ in range(count)]
        if max(found) <= axis.high and (distinct_ends(found) or attempt > 50 or pick.random() < 0.02):
            return found
    return found


def fit(world: World, chart: Data, face: Typeface, room: float, widest_allowed: float, sideways: bool) -> None:
    """Leaves out labels, or makes them letters, until they fit the room of their axis."""
    widest = max(map(face.width, chart.labels))
    if sideways:
        if widest > widest_allowed:
            chart.labels = [chr(65 + k) for k in range(len(chart.labels))]
        chart.labels = chart.labels[: max(2, int(room / (1.25 * face.size)))]
        return
    while len(chart.labels) > 2 and widest + 0.45 * face.size > room / len(chart.labels):
        chart.labels = chart.labels[:-1]
        widest = max(map(face.width, chart.labels))
    if widest + 0.2 * face.size > room / len(chart.labels):
        chart.labels = [chr(65 + k) for k in range(len(chart.labels))]


def axis_title(canvas: Canvas, text: str, face: Typeface, ink, middle: float, x: float) -> None:
    """Prints a text that runs upwards, its right side at `x`."""
    width, height = round(face.width(text)) + 2, round(1.4 * face.size)
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).text((1, face.size), text, font=face.font, fill=255, anchor="ls")
    canvas.image.paste(ink, (round(x - height), round(middle - width / 2)), mask.rotate(90, expand=True))


def smooth(canvas: Canvas, paint, fill) -> None:
    """What `paint` draws at twice the size, with smooth edges."""
    mask = Image.new("L", (2 * canvas.width, 2 * canvas.height))
    paint(ImageDraw.Draw(mask), 2, 255)
    canvas.image.paste(fill, (0, 0), mask.resize((canvas.width, canvas.height), Image.BOX))


def grid_line(canvas: Canvas, ends: tuple[float, float, float, float], ink, width: int, dashed: bool) -> None:
    if not dashed:
        canvas.draw.line(ends, fill=ink, width=width)
        return
    x0, y0, x1, y1 = ends
    pieces = max(2, round((abs(x1 - x0) + abs(y1 - y0)) / (5 * max(canvas.unit, 0.6))))
    for k in range(0, pieces, 2):
        a, b = k / pieces, (k + 1) / pieces
        canvas.draw.line((x0 + (x1 - x0) * a, y0 + (y1 - y0) * a, x0 + (x1 - x0) * b, y0 + (y1 - y0) * b), fill=ink, width=width)


def draw_line(canvas: Canvas, points, fill, thick: float, dot: float, marker: str, world: World) -> None:
    def paint(draw, scale, colour):
        scaled = [(x * scale, y * scale) for x, y in points]
        draw.line(scaled, fill=colour, width=max(1, round(thick * scale)), joint="curve")
        r = dot * scale
        for x, y in scaled:
            if marker == "circle":
                draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
            elif marker == "square":
                draw.rectangle((x - r, y - r, x + r, y + r), fill=colour)
            else:
                draw.polygon([(x, y - 1.2 * r), (x + 1.2 * r, y), (x, y + 1.2 * r), (x - 1.2 * r, y)], fill=colour)
    if world.random.random() < 0.5 and canvas.width * canvas.height < 600_000:
        smooth(canvas, paint, fill)
    else:
        paint(canvas.draw, 1, fill)


def axes_chart(world: World, width: int, height: int, sx: float, sy: float, kind: str) -> tuple[Canvas, list[Question]]:
    pick = world.random
    canvas = Canvas(width, height, ground(world), sx, sy)
    background = canvas.background
    face, title_face = chart_faces(world, canvas)
    light = lightness(background) > 127
    ink = ((0, 0, 0) if pick.random() < 0.6 else (60, 60, 60)) if light else (240, 240, 240)
    sideways = kind == "bar" and pick.random() < 0.33
    chart = Data(kind, labels(world, pick.randint(2, 8), 12), title(world))
    axis = scale(world, kind)
    printed = pick.random() < 0.5
    shows_axis = not printed or pick.random() < 0.75
    pad = [pick.uniform(0, 0.045) * min(width, height) if pick.random() < 0.6 else 0 for _ in range(4)]  # left, top, right, bottom
    tick_width = max(face.width(str(tick)) for tick in axis.ticks)
    named = pick.random() < 0.15  # the value axis has a title
    left_room = pad[0] + (1.5 * face.size if named else 0) + (tick_width + 0.9 * face.size if shows_axis and not sideways else 0.5 * face.size)
    right = width - pad[2] - (face.width("9999") if sideways and printed else 0.8 * face.size)
    fit(world, chart, face, (height - 3.4 * face.size - title_face.size) if sideways else right - left_room, 0.4 * width, sideways)
    count = len(chart.labels)
    widest = max(map(face.width, chart.labels))
    left = left_room + (widest + 0.4 * face.size if sideways else 0)
    top = pad[1] + draw_title(canvas, chart, title_face, ink, world, (left + right) / 2 if pick.random() < 0.5 else width / 2, pad[1])
    top += 1.1 * face.size if printed and not sideways else 0.5 * face.size
    bottom = height - pad[3] - (1.7 if shows_axis or not sideways else 0.5) * face.size
    if sideways and pick.random() < 0.5:
        chart.labels.reverse()
    span_x, span_y = right - left, bottom - top
    if min(span_x, span_y) < 4 * face.size:  # labels left no room for a chart: another one
        return axes_chart(world, width, height, sx, sy, kind)
    chart.values = values(world, axis, count, printed, span_x * sx if sideways else span_y * sy)
    if named:
        axis_title(canvas, pick.choice(SUBJECTS), face, ink, (top + bottom) / 2, pad[0] + 1.5 * face.size)

    panel = background
    if pick.random() < 0.15:
        panel = tuple(max(0, min(255, value + (-22 if light else 30))) for value in background)
        canvas.draw.rectangle((left, top, right, bottom), fill=panel)
    faint = pick.uniform(0.12, 0.45)
    grid_ink = tuple(round((1 - faint) * b + faint * i) for b, i in zip(panel, ink)) if panel == background else background
    thin = max(1, round(canvas.unit * pick.uniform(0.6, 1.6)))
    grid = pick.choice(("none", "ticks", "ticks", "ticks", "both")) if printed else pick.choice(("none", "ticks", "ticks", "ticks", "ticks", "both"))
    dashed, above = pick.random() < 0.15, kind == "bar" and pick.random() < 0.12
    slot = (span_y if sideways else span_x) / count
    inner = slot if kind == "line" and pick.random() < 0.5 and count > 1 else None  # the first and last points near the ends
    edge_room = pick.uniform(0.02, 0.06) * span_x
    if inner is not None and (widest / 2 + edge_room < left or face.width(chart.labels[0]) / 2 < left):
        slot = (span_x - 2 * max(edge_room, face.width(chart.labels[-1]) / 2 - 0.6 * face.size)) / (count - 1)
    else:
        inner = None
    def middle_of(index: int) -> float:
        if sideways:
            return top + slot * (index + 0.5)
        return (left + right) / 2 + slot * (index - (count - 1) / 2)
    def draw_grid() -> None:
        if grid == "none" or not shows_axis:
            return
        for tick in axis.ticks:
            at = axis.share(tick)
            ends = (left + span_x * at, top, left + span_x * at, bottom) if sideways else (left, bottom - span_y * at, right, bottom - span_y * at)
            grid_line(canvas, ends, grid_ink, thin, dashed)
        if grid == "both":
            for index in range(count):
                middle = middle_of(index)
                grid_line(canvas, (left, middle, right, middle) if sideways else (middle, top, middle, bottom), grid_ink, thin, dashed)
    if not above:
        draw_grid()
    if shows_axis:
        long_ticks = pick.random() < 0.7
        cramped = sum(face.width(str(tick)) + 0.6 * face.size for tick in axis.ticks) > span_x * (axis.ticks[-1] - axis.base) / (axis.high - axis.low)
        for number, tick in enumerate(axis.ticks):
            at = axis.share(tick)
            if sideways:
                x = left + span_x * at
                if long_ticks:
                    canvas.draw.line((x, bottom, x, bottom + 0.2 * face.size), fill=ink, width=thin)
                if not cramped or number % 2 == 0:
                    canvas.print_centred(x, bottom + 1.2 * face.size, str(tick), face, ink)
            else:
                y = bottom - span_y * at
                if long_ticks:
                    canvas.draw.line((left - 0.2 * face.size, y, left, y), fill=ink, width=thin)
                canvas.print(left - 0.4 * face.size - face.width(str(tick)), y + 0.35 * face.size, str(tick), face, ink)

    fills, chart.colours = palette(world, panel, count, 0.45 if kind == "bar" else 0.0)
    thickness = abs(slot) * pick.uniform(0.45, 0.92)
    edge = ink if pick.random() < 0.25 else None
    inside = printed and kind == "bar" and pick.random() < 0.15
    points = []
    for index, (label, value) in enumerate(zip(chart.labels, chart.values)):
        middle, reach, text = middle_of(index), axis.share(value), str(value)
        shade = (0, 0, 0) if lightness(fills[index]) > 120 else (255, 255, 255)
        if sideways:
            end = left + span_x * reach
            canvas.draw.rectangle((left, middle - thickness / 2, end, middle + thickness / 2), fill=fills[index], outline=edge)
            canvas.print(left - 0.4 * face.size - face.width(label), middle + 0.35 * face.size, label, face, ink)
            if printed and inside and end - left > face.width(text) + face.size:
                canvas.print(end - 0.4 * face.size - face.width(text), middle + 0.35 * face.size, text, face, shade)
            elif printed:
                canvas.print(end + 0.3 * face.size, middle + 0.35 * face.size, text, face, ink)
            continue
        tip = bottom - span_y * reach
        points.append((middle, tip))
        canvas.print_centred(middle, bottom + 1.2 * face.size, label, face, ink)
        if kind == "bar":
            canvas.draw.rectangle((middle - thickness / 2, tip, middle + thickness / 2, bottom), fill=fills[index], outline=edge)
            if printed and inside and bottom - tip > 1.6 * face.size and thickness > face.width(text) + 2:
                canvas.print_centred(middle, tip + 1.1 * face.size, text, face, shade)
            elif printed:
                canvas.print_centred(middle, tip - 0.25 * face.size, text, face, ink)
    if above:
        draw_grid()
    if kind == "line":
        chart.colours = []
        dot = pick.uniform(2.2, 5) * canvas.unit
        draw_line(canvas, points, fills[0], pick.uniform(1.0, 3.2) * canvas.unit, dot, pick.choice(("circle", "circle", "circle", "square", "diamond")), world)
        for (x, y), value in zip(points, chart.values):
            if printed:
                canvas.print_centred(x, y - dot - 0.25 * face.size, str(value), face, ink)
    frame = pick.choice(("box", "box", "corner", "corner", "corner", "floor", "none"))
    if frame == "box":
        canvas.draw.rectangle((left, top, right, bottom), outline=ink, width=thin)
    elif frame != "none" or panel == background and grid == "none":
        canvas.draw.line((left, bottom, right, bottom) if not sideways else (left, top, left, bottom), fill=ink, width=thin)
        if frame == "corner":
            canvas.draw.line((left, top, left, bottom) if not sideways else (left, bottom, right, bottom), fill=ink, width=thin)
    return canvas, questions(world, chart)
