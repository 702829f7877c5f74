"""Chunks of samples: pictures of one size, the questions asked of them, and the tokens that train on the answers."""

from dataclasses import dataclass, field

import numpy as np

import layout

from . import charts, clips, documents, pairs, photographs, printed, shapes, talk
from .canvas import Canvas, World
from .phrases import Question

PATCHES = 32
IGNORED = 255
# Scenes of one picture and how often each is drawn.
MIX = {
    "shapes": (shapes.scene, 0.27),
    "single": (printed.single, 0.09),
    "lines": (printed.lines, 0.10),
    "scattered": (printed.scattered, 0.03),
    "charts": (charts.scene, 0.29),
    "documents": (documents.scene, 0.155),
    "photographs": (photographs.scene, 0.045),
    "chinese": (printed.chinese, 0.02),
}
# Answers of these skills, or to these questions, weigh more in the loss.
EMPHASIS = {"chart value": 2.0, "chart largest": 2.0, "chart smallest": 2.0, "count": 2.0, "position": 1.5, "compare": 2.0, "most expensive": 2.5}
# What must be told from both pictures, or from all of one: asked first more often than not, since earlier turns give it away.
DECISIVE = ("compare same", "compare difference", "compare more", "largest", "smallest", "most expensive", "how many of colour", "how many of shape")
GRIDS = {3: ((2, 1), (2, 1), (1, 2)), 4: ((3, 1), (1, 3)), 5: ((2, 2), (2, 2), (2, 2), (4, 1), (1, 4)), 6: ((5, 1), (1, 5)), 7: ((3, 2), (3, 2), (3, 2), (2, 3), (2, 3), (6, 1), (1, 6))}


@dataclass
class Sample:
    pictures: list[Canvas]
    grid: tuple[int, int]
    form: str
    questions: list[Question] = field(default_factory=list)

    @property
    def tiles(self) -> list[int]:
        return [layout.tile_count(self.grid)] * len(self.pictures)


def single_tile_size(world: World) -> tuple[int, int, int]:
    """A picture that becomes one tile: (width, height, most tiles asked for)."""
    pick = world.random
    if pick.random() < 0.3:
        return 448, 448, 6
    side = pick.uniform(260, 600)
    if pick.random() < 0.7:
        aspect = pick.uniform(0.85, 1.23)
        return round(side * aspect**0.5), round(side / aspect**0.5), 6
    aspect = 2 ** pick.uniform(-0.9, 0.9)
    return round(side * aspect**0.5), round(side / aspect**0.5), 1


def tiled_size(world: World, tiles: int) -> tuple[int, int, int]:
    """A picture that becomes this many tiles, the thumbnail included."""
    pick = world.random
    while True:
        columns, rows = pick.choice(GRIDS[tiles])
        scale = 2 ** pick.uniform(-1.1, 0.35)  # pixels of the picture per pixel of the grid
        stretch = 2 ** pick.uniform(-0.25, 0.25)
        width, height = round(448 * columns * scale * stretch), round(448 * rows * scale / stretch)
        if min(width, height) >= 120 and max(width, height) <= 1800 and layout.choose_grid(width, height, 6) == (columns, rows):
            return width, height, 6


def one_picture(world: World, width: int, height: int, most: int, kind: str | None = None) -> Sample:
    grid = layout.choose_grid(width, height, most)
    sx, sy = 448 * grid[0] / width, 448 * grid[1] / height
    names = [kind] if kind else [name for name in MIX if name != "shapes" or 0.78 < sx / sy < 1.28]  # a square must not pass for a rectangle
    scene = MIX[world.random.choices(names, [MIX[name][1] for name in names])[0]][0]
    canvas, found = scene(world, width, height, sx, sy)
    if scene is not photographs.scene and world.random.random() < 0.02:
        found.append(talk.aside(world))
    return Sample([canvas], grid, "one", found)


def two_pictures(world: World, width: int, height: int, most: int, shares: str = "test") -> Sample:
    grid = layout.choose_grid(width, height, most)
    canvases, found = pairs.scenes(world, width, height, 448 * grid[0] / width, 448 * grid[1] / height, shares)
    return Sample(canvases, grid, world.random.choices(("numbered", "bare", "combined"), (0.7, 0.15, 0.15))[0], found)


def clip(world: World, width: int, height: int, frames: int) -> Sample:
    canvases, found = clips.scene(world, width, height, 448 / width, 448 / height, frames)
    return Sample(canvases, (1, 1), "frames" if world.random.random() < 0.9 else "combined", found)


def conversation(world: World) -> Sample:
    return Sample([], (1, 1), "one", talk.conversation(world))


def marks_of(canvas: Canvas, columns: int, rows: int, sx: float, sy: float) -> np.ndarray:
    """What each 14-pixel patch of the grid shows: [rows * 32, columns * 32]."""
    cells = np.zeros((rows * PATCHES, columns * PATCHES), np.uint8)
    fx, fy = sx / 14, sy / 14
    height, width = cells.shape
    for x0, y0, x1, y1, mark in canvas.marks:
        a, b, c, d = x0 * fx, x1 * fx, y0 * fy, y1 * fy
        left, right, top, bottom = int(a + 0.5), int(b + 0.5), int(c + 0.5), int(d + 0.5)
        if right <= left:
            left = int((a + b) / 2)
            right = left + 1
        if bottom <= top:
            top = int((c + d) / 2)
            bottom = top + 1
        if left >= 0 and top >= 0:
            cells[top:bottom, left:right] = mark if d - c > 0.6 else IGNORED
    return cells


def tile_marks(canvas: Canvas, grid: tuple[int, int]) -> np.ndarray:
    """[tiles, 32, 32], in the order of the tiles."""
    columns, rows = grid
    cells = marks_of(canvas, columns, rows, canvas.sx, canvas.sy)
    split = cells.reshape(rows, PATCHES, columns, PATCHES).transpose(0, 2, 1, 3).reshape(-1, PATCHES, PATCHES)
    if columns * rows == 1:
        return split
    whole = marks_of(canvas, 1, 1, 448 / canvas.width, 448 / canvas.height)
    return np.concatenate([split, whole[None]])


class Encoder:
    """Tokens and loss weights of a sample."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.prefix = tokenizer.encode(layout.opening(), bos=True)

    def prompt(self, sample: Sample, question: str) -> list[int]:
        return self.prefix + self.tokenizer.encode(layout.asked(layout.with_pictures(question, sample.tiles, sample.form)))

    def row(self, world: World, sample: Sample, turns: int, longest: int) -> tuple[list[int], list[float]]:
        """All turns in one row; the weight of an answer's token falls with the root of the answer's length."""
        ids, weights = list(self.prefix), [0.0] * len(self.prefix)
        seen = set()
        world.random.shuffle(sample.questions)
        if len(sample.questions) > 1 and world.random.random() < (0.65 if len(sample.pictures) > 1 else 0.5):
            sample.questions.sort(key=lambda question: question.key not in DECISIVE)
            sample.questions[1:] = world.random.sample(sample.questions[1:], len(sample.questions) - 1)
        for question in sample.questions:
            if len(seen) == turns or (question.key, question.answer) in seen:
                continue
            text = question.question if seen else layout.with_pictures(question.question, sample.tiles, sample.form)
            asked = self.tokenizer.encode(layout.asked(text))
            answer = self.tokenizer.encode(question.answer + "<|im_end|>")
            if len(ids) + len(asked) + len(answer) > longest:
                if seen:
                    continue
            seen.add((question.key, question.answer))
            ids += asked + answer
            emphasis = EMPHASIS.get(question.key, EMPHASIS.get(question.skill, 1.0))
            weights += [0.0] * len(asked) + [emphasis / len(answer) ** 0.5] * len(answer)
        return ids[:longest], weights[:longest]


@dataclass
class Chunk:
    """`pictures` [n, height, width, 3], `marks` [tiles, 32, 32], `ids` and `weights` [samples, length]."""

    pictures: np.ndarray
    grid: tuple[int, int]
    tiles: int  # of each sample
    marks: np.ndarray
    ids: np.ndarray
    weights: np.ndarray


def pick_kind(world: World, progress: float) -> tuple[str, int]:
    """What a chunk holds, and the tiles of each sample. `progress` of the training, 0 to 1: many tiles come later."""
    many = 0.0 if progress < 0.22 else min(0.5, 0.15 + 0.6 * (progress - 0.22))
    draw = world.random.random()
    if draw < 0.013:
        return "talk", 0
    if draw < 0.105:
        return "two", 2
    if progress > 0.12 and draw < 0.12:
        return "clip", 4
    if progress > 0.22 and draw < 0.155:
        return "clip", 8
    if progress > 0.5 and draw < 0.197:
        return "two", 6
    if progress > 0.75 and draw < 0.21:
        return "two", 14
    if world.random.random() < many:
        return "one", world.random.choices((3, 4, 5, 6, 7), (0.28, 0.05, 0.22, 0.03, 0.42))[0]
    return "one", 1


def chunk(world: World, encoder: Encoder, progress: float, room: int = 128) -> Chunk:
    """About `room` tiles of samples that share a picture size."""
    pick = world.random
    kind, tiles = pick_kind(world, progress)
    count = 32 if tiles == 0 else max(1, room // tiles)
    if kind == "one":
        size = single_tile_size(world) if tiles == 1 else tiled_size(world, tiles)
        samples = [one_picture(world, *size) for _ in range(count)]
    elif kind == "two":
        size = single_tile_size(world) if tiles == 2 else tiled_size(world, tiles // 2)
        samples = [two_pictures(world, *size, "training") for _ in range(count)]
    elif kind == "clip":
        side = pick.uniform(180, 460)
        aspect = pick.choice((1, 1, 4 / 3, 16 / 9, 9 / 16, 1.5))
        size = round(side * aspect**0.5), round(side / aspect**0.5)
        samples = [clip(world, *size, tiles) for _ in range(count)]
    else:
        samples = [conversation(world) for _ in range(count)]
    longest = 256 * tiles + (300 if tiles < 3 else 340 if tiles < 8 else 380)
    rows = [encoder.row(world, sample, pick.randint(1, 7) if tiles < 3 else pick.randint(2, 9), longest) for sample in samples]
    length = -(-max(len(ids) for ids, _ in rows) // 64) * 64
    ids = np.zeros((count, length), np.int32)
    weights = np.zeros((count, length), np.float32)
    for index, (row_ids, row_weights) in enumerate(rows):
        ids[index, : len(row_ids)] = row_ids
        weights[index, : len(row_weights)] = row_weights
    canvases = [canvas for sample in samples for canvas in sample.pictures]
    pictures = np.stack([np.asarray(canvas.image) for canvas in canvases]) if canvases else np.zeros((0, 8, 8, 3), np.uint8)
    marks = np.concatenate([tile_marks(canvas, samples[0].grid) for canvas in canvases]) if canvases else np.zeros((0, PATCHES, PATCHES), np.uint8)
    return Chunk(pictures, samples[0].grid, tiles, marks, ids, weights)
