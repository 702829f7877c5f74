"""A picture under way: pixels, and where each printed character and shape stands (a training aid, never seen by the product)."""

import random
import zlib
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .vocabulary import COLOURS, PRINTED_CHARACTERS, SHAPES

# What a patch may be labelled with: 0 for nothing, then the printed characters, then the shapes.
MARK_OF_CHARACTER = {character: index + 1 for index, character in enumerate(PRINTED_CHARACTERS) if character != " "}
MARK_OF_SHAPE = {shape: len(PRINTED_CHARACTERS) + 1 + index for index, shape in enumerate(SHAPES)}
MARKS = len(PRINTED_CHARACTERS) + len(SHAPES) + 2
ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / ".carry" / "assets"


class Typeface:
    """One font file at one size, with its advances kept."""

    def __init__(self, path: str, size: int):
        self.font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
        self.size = size
        self.advances: dict[str, float] = {}

    def advance(self, character: str) -> float:
        if character not in self.advances:
            self.advances[character] = self.font.getlength(character)
        return self.advances[character]

    def width(self, text: str) -> float:
        return sum(map(self.advance, text))


@lru_cache(maxsize=6000)
def typeface(path: str, size: int) -> Typeface:
    return Typeface(path, size)


@lru_cache(maxsize=None)
def shelf(kind: str) -> list[str]:
    return sorted(str(path) for path in (ASSETS / "fonts" / kind).iterdir())


@lru_cache(maxsize=None)
def words(held_out: bool) -> list[str]:
    """English words of 2 to 12 letters; a tenth of them is never printed in training."""
    return [word for word in (ASSETS / "words.txt").read_text().split() if (zlib.crc32(word.encode()) % 10 == 0) == held_out]


class World:
    """The choices that separate training from testing: the random stream, the fonts, the words, the photographs."""

    def __init__(self, seed: int, fonts: str = "train", held_out: bool = False, photographs: str = "train"):
        self.random = random.Random(seed)
        self.fonts = fonts
        self.held_out = held_out
        self.photographs = photographs
        self.counts = 1  # colours and shapes of a scene that are counted

    def word(self, longest: int = 12, shortest: int = 2) -> str:
        if not self.held_out and self.random.random() < 0.15:
            letters = "aeiounrstlcdmphgbyfvkwzxjq"
            return "".join(letters[min(25, int(self.random.expovariate(0.11)))] for _ in range(self.random.randint(shortest, min(longest, 9))))
        while True:
            word = self.random.choice(words(self.held_out))
            if shortest <= len(word) <= longest:
                return word

    def cased(self, word: str) -> str:
        kind = self.random.random()
        return word if kind < 0.35 else word.capitalize() if kind < 0.7 else word.upper()

    def face(self, size: float) -> Typeface:
        return typeface(self.random.choice(shelf(self.fonts)), max(8, round(size)))

    def colour(self, name: str) -> tuple[int, int, int]:
        """An RGB value that people would call by this name."""
        spread = {"black": 14, "white": 6, "grey": 12, "yellow": 14, "pink": 12, "brown": 10}.get(name, 18)
        return tuple(max(0, min(255, value + self.random.randint(-spread, spread))) for value in COLOURS[name][0])

    def ink_on(self, background: tuple[int, int, int]) -> tuple[int, int, int]:
        """A colour that stands out from the background."""
        for _ in range(30):
            ink = (0, 0, 0) if self.random.random() < 0.3 else tuple(self.random.randint(0, 255) for _ in range(3))
            if abs(lightness(ink) - lightness(background)) > 90:
                return ink
        return (0, 0, 0) if lightness(background) > 127 else (255, 255, 255)

    def paper(self) -> tuple[int, int, int]:
        kind = self.random.random()
        if kind < 0.35:
            return (255, 255, 255)
        if kind < 0.7:
            return tuple(self.random.randint(205, 255) for _ in range(3))
        if kind < 0.85:
            return tuple(self.random.randint(0, 70) for _ in range(3))
        return tuple(self.random.randint(0, 255) for _ in range(3))


def lightness(colour: tuple[int, int, int]) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


class Canvas:
    """`sx`, `sy`: how many pixels of the tile grid one pixel of this picture becomes."""

    least_print = 10.0  # font size in pixels of the picture

    def __init__(self, width: int, height: int, background=(255, 255, 255), sx: float = 1.0, sy: float = 1.0):
        self.width, self.height, self.sx, self.sy = width, height, sx, sy
        self.image = Image.new("RGB", (width, height), background)
        self.draw = ImageDraw.Draw(self.image)
        self.marks: list[tuple[float, float, float, float, int]] = []
        self.background = background

    @property
    def unit(self) -> float:
        """A 448th of the shorter side, in pixels of this picture."""
        return min(self.width, self.height) / 448

    @property
    def smallest_print(self) -> float:
        """The font size in pixels of this picture under which reading is not asked for."""
        return max(self.least_print, 15.0 / min(self.sx, self.sy))

    def grain(self, world: World) -> None:
        """Lays a soft gradient or a cloudy texture over the background."""
        kind = world.random.random()
        if kind > 0.35:
            return
        size = (2, 2) if kind < 0.18 else (12, 12)
        spread = 26
        small = Image.new("RGB", size)
        small.putdata([tuple(max(0, min(255, value + world.random.randint(-spread, spread))) for value in self.background) for _ in range(size[0] * size[1])])
        self.image.paste(small.resize((self.width, self.height), Image.BILINEAR))
        self.draw = ImageDraw.Draw(self.image)

    def print(self, x: float, baseline: float, text: str, face: Typeface, ink) -> float:
        """Prints text from the left end of its baseline; returns where it ends."""
        self.draw.text((x, baseline), text, font=face.font, fill=ink, anchor="ls")
        for character in text:
            advance = face.advance(character)
            if character != " ":
                self.marks.append((x, baseline - 0.74 * face.size, x + advance, baseline + 0.16 * face.size, MARK_OF_CHARACTER.get(character, 0)))
            x += advance
        return x

    def print_centred(self, x: float, baseline: float, text: str, face: Typeface, ink) -> None:
        self.print(x - face.width(text) / 2, baseline, text, face, ink)
