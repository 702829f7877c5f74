"""Two pictures side by side in one question."""

from . import printed, shapes
from .canvas import Canvas, World
from .phrases import Question, ask
from .shapes import Figure, article, listing
from .vocabulary import COLOURS, SHAPES

NTH = ("first", "second")


def draw(world: World, size, background, inks, figures: list[Figure]) -> Canvas:
    canvas = Canvas(*size[:2], background, *size[2:])
    for figure, ink in zip(figures, inks):
        shapes.paint(canvas, world, figure, ink=ink)
    return canvas


def listed(figures: list[Figure]) -> str:
    return listing([article(figure.name) for figure in sorted(figures, key=lambda figure: figure.x)])


def alike(first: list[Figure], second: list[Figure]) -> bool:
    """Whether two scenes of their own could pass for one scene with a single change, which has a wording of its own."""
    shared = {figure.name for figure in first} & {figure.name for figure in second}
    return len(first) == len(second) and (len(shared) >= len(first) - 1) and not (len(first) == 1 and first[0].shape != second[0].shape)


# Shares of pairs: up to which draw they are words, scenes with one change, scenes with one figure more; the rest are scenes of their own.
# And of the changed ones: up to which draw nothing changes, a colour changes; in the rest a shape.
SHARES = {"test": (0.22, 0.62, 0.62, 0.35, 0.7), "training": (0.14, 0.62, 0.76, 0.2, 0.6)}


def scenes(world: World, width: int, height: int, sx: float, sy: float, shares: str = "test") -> tuple[list[Canvas], list[Question]]:
    """Two scenes that agree but for one change, or two scenes of their own, or two words or numbers. In training every figure is asked about."""
    pick = world.random
    size = (width, height, sx, sy)
    training = shares == "training"
    of_words, of_changes, of_more, of_same, of_colours = SHARES[shares]
    kind = pick.random()
    if kind < of_words:
        return words(world, size)
    background_name = "white" if pick.random() < 0.5 else pick.choice(list(COLOURS))
    background = world.colour(background_name)
    allowed = shapes.visible_on(background, background_name)
    blank = Canvas(width, height)
    def some(count):
        spots = shapes.place(world, blank, count, largest=80, smallest=30)
        names = pick.sample(list(SHAPES), len(spots))
        return [Figure(name, pick.choice(allowed), *spot, shapes.posed(world, name)) for name, spot in zip(names, spots)]
    found: list[Question] = []
    if kind < of_changes:
        first = some(pick.randint(1, 4))
        second = [Figure(**vars(figure)) for figure in first]
        changed = pick.randrange(len(first))
        change = pick.random()
        target = second[changed]
        if change < of_same:
            answer = "yes"
            difference = "There is no difference: the pictures are the same."
        elif change < of_colours:
            target.colour = pick.choice([name for name in allowed if name != target.colour])
            answer = "no"
            difference = f"The {target.shape} is {first[changed].colour} in the first picture and {target.colour} in the second."
        else:
            unused = [name for name in SHAPES if name not in [figure.shape for figure in first]]
            target.shape = pick.choice(unused)
            target.pose = shapes.posed(world, target.shape)
            answer = "no"
            difference = f"The first picture has {article(first[changed].name)}, the second {article(target.name)}."
        found += [ask(pick, "compare", "compare same", answer), ask(pick, "compare", "compare difference", difference), ask(pick, "compare", "compare difference", difference)]
    else:
        first = second = some(pick.randint(2, 5) if kind < of_more else pick.randint(1, 4))
        if kind < of_more and len(first) > 1:
            second = [Figure(**vars(figure)) for figure in first]
            pick.choice((first, second)).pop()
        while alike(first, second):
            second = some(pick.randint(1, 4))
        difference = f"The first picture has {listed(first)}, the second {listed(second)}."
        if len(first) != len(second):
            found.append(ask(pick, "compare", "compare more", "the first" if len(first) > len(second) else "the second"))
        found.append(ask(pick, "compare", "compare difference", difference))
    pair = (first, second)
    for side in (0, 1):
        others = [figure.shape for figure in pair[1 - side]]
        for figure in pair[side]:
            if figure.shape not in others:
                found.append(ask(pick, "compare", "compare which", f"the {NTH[side]}", thing=article(figure.shape)))
        for figure in pair[side] if training else [pick.choice(pair[side])]:
            found.append(ask(pick, "compare", "compare colour", figure.colour, shape=figure.shape, nth=NTH[side]))
    inks = [world.colour(figure.colour) for figure in first]
    again = [inks[i] if i < len(first) and first[i].colour == figure.colour else world.colour(figure.colour) for i, figure in enumerate(second)]
    canvases = [draw(world, size, background, inks, first)]
    canvases.append(draw(world, size, background, again, second))
    return canvases, found


def words(world: World, size) -> tuple[list[Canvas], list[Question]]:
    pick = world.random
    found, canvases, texts = [], [], []
    numbers = pick.random() < 0.5
    while len(set(texts)) < 2:
        texts = [str(pick.randint(0, 10 ** pick.randint(1, 4))) if numbers else world.cased(world.word(9)) for _ in range(2)]
    for text in texts:
        canvas = printed.paper(world, *size)
        face = None
        while face is None:
            face = printed.fitting_face(world, canvas, text, 0.9, canvas.smallest_print * 1.2, 0.4 * canvas.height)
        span = face.width(text)
        canvas.print(pick.uniform(2, max(3, canvas.width - span - 2)), pick.uniform(face.size, canvas.height - 0.35 * face.size), text, face, world.ink_on(canvas.background))
        canvases.append(canvas)
    for side in (0, 1):
        found.append(ask(pick, "compare", "compare word", texts[side], nth=NTH[side]))
    if numbers:
        found.append(ask(pick, "compare", "compare number", "the first" if int(texts[0]) > int(texts[1]) else "the second"))
    found.append(ask(pick, "compare", "compare difference", f'The first picture says "{texts[0]}", the second "{texts[1]}".'))
    return canvases, found
