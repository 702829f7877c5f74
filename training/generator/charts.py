"""Bar, line and pie charts."""

from .axes import axes_chart
from .canvas import Canvas, World
from .phrases import Question
from .pies import pie


def scene(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    kind = world.random.choice(("bar", "bar", "bar", "line", "line", "pie"))
    if kind == "pie":
        return pie(world, width, height, sx, sy)
    return axes_chart(world, width, height, sx, sy, kind)
