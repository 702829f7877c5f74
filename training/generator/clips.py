"""Short clips: one shape moves, others stay."""

from . import shapes
from .canvas import Canvas, World
from .phrases import Question, ask
from .shapes import Figure
from .vocabulary import SHAPES

# direction: (dx, dy, "from ... to ...")
DIRECTIONS = {
    "right": (1, 0, "from left to right"),
    "left": (-1, 0, "from right to left"),
    "down": (0, 1, "from top to bottom"),
    "up": (0, -1, "from bottom to top"),
}


def scene(world: World, width: int, height: int, sx: float, sy: float, frames: int) -> tuple[list[Canvas], list[Question]]:
    pick = world.random
    plain, background = shapes.start(world, width, height, sx, sy)
    allowed = shapes.visible_on(plain.background, background)
    direction = pick.choice(list(DIRECTIONS))
    dx, dy, travel = DIRECTIONS[direction]
    unit = plain.unit
    radius = pick.uniform(32, 70) * unit
    names = pick.sample(list(SHAPES), 3)
    mover = Figure(names[0], pick.choice(allowed), 0, 0, radius)
    span = pick.uniform(0.45, 1.0) * ((width if dx else height) - 2.2 * radius)
    across = pick.uniform(1.1 * radius, (height if dx else width) - 1.1 * radius)
    begin = pick.uniform(1.1 * radius, (width if dx else height) - 1.1 * radius - span)
    path = [begin + span * k / (frames - 1) for k in range(frames)]
    if dx + dy < 0:
        path.reverse()
    still = []
    for name in names[1 : 1 + pick.choice((0, 0, 1, 1, 2))]:
        for _ in range(30):
            size = pick.uniform(26, 50) * unit
            x, y = pick.uniform(size, width - size), pick.uniform(size, height - size)
            off = abs(y - across) if dx else abs(x - across)
            if off > size + radius + 4 and all(abs(x - o.x) + abs(y - o.y) > size + o.radius + 8 for o in still):
                still.append(Figure(name, pick.choice(allowed), x, y, size))
                break
    inks = [world.colour(figure.colour) for figure in [mover] + still]
    canvases = []
    for position in path:
        canvas = Canvas(width, height, plain.background, sx, sy)
        canvas.image.paste(plain.image)
        mover.x, mover.y = (position, across) if dx else (across, position)
        for figure, ink in zip([mover] + still, inks):
            shapes.paint(canvas, world, figure, ink=ink)
        canvases.append(canvas)
    sentence = f"The {mover.name} moves {travel}."
    found = [ask(pick, "clip", "motion", sentence) for _ in range(2)]
    found.append(ask(pick, "clip", "direction", travel, figure=mover.shape if pick.random() < 0.5 else mover.name))
    found.append(ask(pick, "clip", "mover", mover.name))
    if len(still) == 1:
        found.append(ask(pick, "clip", "still", still[0].name))
    return canvases, found
