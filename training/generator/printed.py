"""Printed words, numbers, signs and lines of text."""

from .canvas import ASSETS, Canvas, World, typeface
from .phrases import Question, ask, ask_either
from .shapes import place_name, Figure, visible_on
from .vocabulary import CHINESE_PRINTED, FIRST_NAMES, ITEMS, LAST_NAMES, SIGN_PHRASES

NTH = ("first", "second", "third", "fourth", "fifth", "sixth")


def number(world: World) -> str:
    pick = world.random
    digits = str(pick.randint(10 ** (n - 1) if (n := pick.randint(1, 6)) > 1 else 0, 10**n - 1))
    kind = pick.random()
    if kind < 0.08 and len(digits) > 3:
        return digits[:-3] + "," + digits[-3:]
    if kind < 0.16 and len(digits) > 1:
        return digits[:-1] + "." + digits[-1]
    return digits


def phrase(world: World, longest: int) -> str:
    """A line of printed text of up to `longest` characters."""
    pick = world.random
    kind = pick.random()
    if kind < 0.12:
        text = pick.choice(SIGN_PHRASES)
    elif kind < 0.2:
        text = f"{pick.choice(FIRST_NAMES)} {pick.choice(LAST_NAMES)}"
    elif kind < 0.28:
        text = f"{pick.choice(ITEMS)} {pick.randint(1, 99)}"
    elif kind < 0.36:
        text = f"{world.cased(world.word(8))} {number(world)}"
    else:
        joined = [world.word(9)]
        while len(joined) < 5 and pick.random() < 0.6:
            joined.append(world.word(9))
        text = " ".join(joined)
        style = pick.random()
        text = text if style < 0.4 else text.capitalize() if style < 0.75 else text.upper() if style < 0.88 else text.title()
    while len(text) > longest and " " in text:
        text = text.rsplit(" ", 1)[0]
    return text[:longest]


def fitting_face(world: World, canvas: Canvas, text: str, share: float, smallest: float, tallest: float):
    """A font whose text spans at most `share` of the width, of a size between the limits (log-uniform), or None."""
    probe = world.face(40)
    widest = share * canvas.width / max(1.0, probe.width(text)) * 40
    most = min(tallest, widest)
    if most < smallest:
        return None
    size = smallest * (most / smallest) ** world.random.random()
    return typeface(probe.font.path, max(8, int(size)))


def paper(world: World, width: int, height: int, sx: float, sy: float) -> Canvas:
    canvas = Canvas(width, height, world.paper(), sx, sy)
    canvas.grain(world)
    return canvas


def panel(world: World, canvas: Canvas, box) -> tuple[int, int, int]:
    """Sometimes a sign's plate under the text; returns the colour that the text stands on."""
    pick = world.random
    if pick.random() > 0.35:
        return canvas.background
    fill = world.paper()
    canvas.draw.rounded_rectangle(box, radius=pick.choice((0, 6, 14)) * canvas.unit, fill=fill, outline=world.ink_on(fill) if pick.random() < 0.5 else None, width=max(1, round(2 * canvas.unit)))
    return fill


def single(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    """One word or number."""
    pick = world.random
    canvas = paper(world, width, height, sx, sy)
    is_number = pick.random() < 0.35
    text = number(world) if is_number else world.cased(world.word())
    face = fitting_face(world, canvas, text, 0.92, canvas.smallest_print, 0.5 * canvas.height)
    while face is None:
        text = text[: max(1, len(text) * 2 // 3)]
        face = fitting_face(world, canvas, text, 0.96, canvas.smallest_print, 0.5 * canvas.height)
    span = face.width(text)
    x = pick.uniform(0.02 * width, max(0.03 * width, 0.98 * width - span))
    baseline = pick.uniform(face.size, max(face.size + 1, height - 0.35 * face.size))
    margin = 0.25 * face.size
    ground = panel(world, canvas, (x - margin, baseline - face.size, x + span + margin, baseline + 0.4 * face.size))
    names = visible_on(ground, None)
    named = pick.random() < 0.4 and names
    name = pick.choice(names) if named else None
    canvas.print(x, baseline, text, face, world.colour(name) if named else world.ink_on(ground))
    skill = "number" if is_number else "word"
    found = [ask_either(pick, skill, "read number" if is_number else "read word", text)]
    if named:
        found.append(ask(pick, "colour", "ink", name))
    found.append(ask(pick, "describe", "describe", f'The {"number" if is_number else "word"} "{text}".'))
    return canvas, found


def lines(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    """One to six lines of text, one under the other."""
    pick = world.random
    canvas = paper(world, width, height, sx, sy)
    count = pick.choice((1, 2, 2, 3, 3, 4, 5, 6))
    longest = max(5, min(30, int(width / canvas.smallest_print * 1.5)))
    texts = [phrase(world, longest) for _ in range(count)]
    widest = max(texts, key=len)
    face = fitting_face(world, canvas, widest, 0.9, canvas.smallest_print, 0.75 * height / count)
    if face is None:
        texts = [text[: max(3, longest // 3)].strip() for text in texts]
        face = typeface(world.face(10).font.path, round(canvas.smallest_print))
    texts = [text for text in texts if face.width(text) < 0.98 * width]
    if not texts:
        return single(world, width, height, sx, sy)
    spacing = face.size * pick.uniform(1.15, max(1.2, min(2.4, 0.94 * height / len(texts) / face.size)))
    block = spacing * len(texts)
    while block > 0.98 * height and len(texts) > 1:
        texts.pop()
        block = spacing * len(texts)
    left = pick.uniform(0.02 * width, max(0.021 * width, 0.98 * width - max(map(face.width, texts))))
    top = pick.uniform(0, max(1.0, height - block))
    ink, centred = world.ink_on(canvas.background), pick.random() < 0.35
    for index, text in enumerate(texts):
        baseline = top + spacing * index + 0.9 * face.size
        if centred:
            canvas.print_centred(width / 2, baseline, text, face, ink)
        else:
            canvas.print(left, baseline, text, face, ink)
    found = [ask_either(pick, "text", "read text", "\n".join(texts)) for _ in range(2)]
    if len(texts) > 1:
        for index in pick.sample(range(len(texts)), min(2, len(texts))):
            found.append(ask(pick, "text", "read line", texts[index], nth="last" if index == len(texts) - 1 and pick.random() < 0.5 else NTH[index]))
        found.append(ask(pick, "count", "how many lines", str(len(texts))))
    return canvas, found


def scattered(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    """Several words or numbers in places and colours of their own."""
    pick = world.random
    canvas = paper(world, width, height, sx, sy)
    colours = visible_on(canvas.background, None)
    pick.shuffle(colours)
    taken, found, printed = [], [], []
    for name in colours[: pick.randint(2, 5)]:
        text = number(world) if pick.random() < 0.3 else world.cased(world.word(10))
        face = fitting_face(world, canvas, text, 0.6, canvas.smallest_print, 0.22 * height)
        if face is None:
            continue
        span = face.width(text)
        for _ in range(20):
            x, baseline = pick.uniform(2, width - span - 2), pick.uniform(face.size, height - 0.35 * face.size)
            box = (x - 8, baseline - face.size, x + span + 8, baseline + 0.4 * face.size)
            if all(box[2] < a or c < box[0] or box[3] < b or d < box[1] for a, b, c, d in taken):
                taken.append(box)
                canvas.print(x, baseline, text, face, world.colour(name))
                printed.append((text, name, Figure("", name, x + span / 2, baseline - 0.35 * face.size, 0)))
                break
    if not printed:
        return single(world, width, height, sx, sy)
    places = [place_name(canvas, figure) for _, _, figure in printed]
    for (text, name, figure), where in zip(printed, places):
        skill = "number" if text[0].isdigit() else "word"
        found.append(ask(pick, skill, "read coloured", text, colour=name))
        if where and places.count(where) == 1 and None not in places:
            found.append(ask(pick, skill, "read at place", text, place=where[0]))
        found.append(ask(pick, "colour", "colour of word", name, word=text))
    return canvas, found


def chinese(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    pick = world.random
    canvas = paper(world, width, height, sx, sy)
    text = pick.choice(CHINESE_PRINTED)
    most = min(0.9 * width / len(text), 0.6 * height)
    face = typeface(str(ASSETS / "fonts/chinese/wqy-microhei.ttf"), max(round(22 / min(sx, sy)), int(pick.uniform(0.3, 1) * most)))
    span = face.width(text)
    x, baseline = pick.uniform(0, max(1, width - span)), pick.uniform(face.size, max(face.size + 1, height - 0.2 * face.size))
    canvas.print(x, baseline, text, face, world.ink_on(canvas.background))
    return canvas, [ask_either(pick, "chinese", "read word", text, share=0.6)]
