"""Pie and ring charts."""

import math

from PIL import Image

from .axes import axes_chart
from .canvas import Canvas, World, lightness
from .chart_parts import Data, chart_faces, distinct_ends, draw_title, labels, palette, questions, title
from .phrases import Question


def shares(world: World, count: int) -> list[int]:
    """Whole percentages of at least 4 that make 100; every other time multiples of five."""
    pick = world.random
    unit = 5 if pick.random() < 0.5 else 1
    while True:
        cuts = sorted(pick.sample(range(1, 100 // unit), count - 1))
        found = [unit * (b - a) for a, b in zip([0] + cuts, cuts + [100 // unit])]
        if min(found) >= 4 and distinct_ends(found):
            return found


def pie(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    pick = world.random
    background = (255, 255, 255) if pick.random() < 0.6 else tuple(pick.randint(225, 255) for _ in range(3))
    canvas = Canvas(width, height, background, sx, sy)
    face, title_face = chart_faces(world, canvas)
    ink = (0, 0, 0)
    count = pick.randint(2, 6)
    chart = Data("pie", labels(world, count, 9), title(world), shares(world, count))
    count = len(chart.labels)
    legend = pick.random() < 0.4
    legend_room = max(face.width(f"{label} 99%") for label in chart.labels) + 2.2 * face.size if legend else 0
    if legend and width - legend_room <= 0.45 * width:
        legend, legend_room = False, 0
    cx = (width - legend_room) / 2
    top = draw_title(canvas, chart, title_face, ink, world, cx if pick.random() < 0.5 else width / 2, 0)
    fills, chart.colours = palette(world, background, count, 1.0)
    around = 0 if legend else max(map(face.width, chart.labels)) + 0.4 * face.size
    radius = min((width - legend_room - 2 * around) / 2, (height - top) / 2 - (0 if legend else 2.4 * face.size)) * pick.uniform(0.75, 0.96)
    if radius < 2.2 * face.size:
        return axes_chart(world, width, height, sx, sy, "bar")
    cy = top + (height - top) / 2
    scale = 2 if radius < 260 else 1  # drawn at twice the size: pieslice has no smooth edges of its own
    disc = Canvas(round(2 * radius * scale), round(2 * radius * scale), background)
    around_clock = pick.choice((1, -1))  # clockwise or against
    angle = pick.choice((-90, 0, pick.uniform(0, 360)))
    outside = not legend and pick.random() < 0.45
    hole = pick.uniform(0.3, 0.5) if pick.random() < 0.12 else 0.0
    edge = (255, 255, 255) if pick.random() < 0.6 else (0, 0, 0) if pick.random() < 0.3 else None
    depth = pick.uniform(0.55, 0.75)  # where percentages stand inside
    reach = pick.uniform(1.04, 1.12)
    placed = []
    for label, value, fill in zip(chart.labels, chart.values, fills):
        turn = around_clock * 3.6 * value
        disc.draw.pieslice((0, 0, disc.width - 1, disc.height - 1), min(angle, angle + turn), max(angle, angle + turn), fill=fill, outline=edge, width=scale)
        placed.append((math.radians(angle + turn / 2), label, value, fill))
        angle += turn
    if hole:
        r = hole * disc.width / 2
        disc.draw.ellipse((disc.width / 2 - r, disc.height / 2 - r, disc.width / 2 + r, disc.height / 2 + r), fill=background)
    mask = Canvas(disc.width, disc.height, (0, 0, 0))
    mask.draw.ellipse((0, 0, disc.width - 1, disc.height - 1), fill=(255, 255, 255))
    size = (round(2 * radius), round(2 * radius))
    canvas.image.paste(disc.image.resize(size, Image.BILINEAR), (round(cx - radius), round(cy - radius)), mask.image.convert("L").resize(size, Image.BILINEAR))
    plain = pick.random() < 0.4  # black percentages on every fill
    in_legend = legend and pick.random() < 0.3  # percentages stand in the legend alone
    for middle, label, value, fill in placed:
        text = f"{value}%"
        least = 4 if 2 * math.pi * 0.8 * radius * value / 100 > 1.2 * face.size else 101
        printed = not outside and not in_legend and value >= least
        if printed:
            inner = (max(depth, 0.5 + hole / 2) if value >= 9 else 0.8) * radius
            shade = (0, 0, 0) if plain and lightness(fill) > 70 or lightness(fill) > 120 else (255, 255, 255)
            canvas.print_centred(cx + inner * math.cos(middle), cy + inner * math.sin(middle) + 0.35 * face.size, text, face, shade)
        if not legend:
            x, y = cx + reach * radius * math.cos(middle), cy + reach * radius * math.sin(middle)
            shown = f"{label} {text}" if not printed and face.width(f"{label} {text}") < around else label
            start = x if math.cos(middle) >= 0 else x - face.width(shown)
            lift = (-0.9 if not printed else 0.0) if math.sin(middle) < -0.5 else 0.9 if math.sin(middle) > 0.5 else 0.35
            canvas.print(start, y + lift * face.size, shown, face, ink)
            if not printed and shown == label:
                start = x if math.cos(middle) >= 0 else x - face.width(text)
                canvas.print(start, y + (0.1 if math.sin(middle) < -0.5 else 1.9 if math.sin(middle) > 0.5 else 1.35) * face.size, text, face, ink)
    if legend:
        line = min(1.6 * face.size, (height - top) / count)
        y = cy - line * count / 2 + face.size
        x = width - legend_room + 0.6 * face.size
        for _, label, value, fill in placed:
            shown = 2 * math.pi * 0.8 * radius * value / 100 > 1.2 * face.size and not in_legend
            canvas.draw.rectangle((x, y - 0.7 * face.size, x + 0.8 * face.size, y + 0.1 * face.size), fill=fill)
            canvas.print(x + 1.2 * face.size, y, label if shown else f"{label} {value}%", face, ink)
            y += line
    return canvas, questions(world, chart)
