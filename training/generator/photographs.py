"""Photographs, noise and blank pictures: what the model declines to talk about."""

import glob
import os
from functools import lru_cache

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from .canvas import ASSETS, Canvas, World
from .phrases import CHINESE, ENGLISH, Question, vary

PHOTOGRAPH = "I do not know: I was trained on drawings, charts and printed text, and this looks like a photograph."
BLANK = "I do not see anything: the picture looks blank."
PHOTOGRAPH_CHINESE = "我不知道：我只学过图形、图表和印刷文字，这看起来是一张照片。"
BLANK_CHINESE = "我什么也没看到：这张图片是空白的。"
ASKED = (
    "What is in the picture?", "What do you see?", "What animal is this?", "Who is this?", "Where is this?", "What is the weather like?", "What is the person doing?",
    "Describe the image.", "Is there a cat?", "What kind of flower is it?", "How many people are there?", "What is this?", "What colour is the sky?",
)
# Bundled photographs kept for testing.
KEPT = ("astronaut", "coffee", "flower", "rocket")


@lru_cache(maxsize=None)
def shelf(kind: str) -> list[Image.Image]:
    """Photographs of the Debian packages, and those that scikit-image, scikit-learn and matplotlib bundle where they are installed."""
    paths = sorted(str(path) for path in (ASSETS / "photographs" / kind).glob("*.jpg"))
    for package, pattern in (("skimage", "data/*.*"), ("sklearn", "datasets/images/*.jpg"), ("matplotlib", "mpl-data/sample_data/*.jpg")):
        try:
            folder = os.path.dirname(__import__(package).__file__)
        except ImportError:
            continue
        for path in sorted(glob.glob(f"{folder}/{pattern}")):
            name = os.path.basename(path)
            if name.endswith((".jpg", ".jpeg", ".png", ".tif", ".tiff", ".gif")) and not name.startswith(("logo", "color", "chess", "phantom", "text", "page", "multi", "palette", "horse", "clock_motion", "checker")):
                if any(kept in name for kept in KEPT) == (kind == "test"):
                    paths.append(path)
    found = []
    for path in paths:
        try:
            image = Image.open(path).convert("RGB")
        except Exception:  # an odd TIFF among the bundled files
            continue
        image.thumbnail((900, 900))
        found.append(image)
    return found


@lru_cache(maxsize=None)
def stamps(kind: str) -> list[Image.Image]:
    """Photographs of single things, cut out."""
    return [Image.open(path).convert("RGBA") for path in sorted((ASSETS / "photographs" / kind).glob("*.png"))]


def clouds(world: World, width: int, height: int) -> Image.Image:
    """Fractal noise in two or three colours: sky, sand, leaves, stone."""
    pick = world.random
    total = Image.new("L", (width, height), 128)
    cells = pick.choice((2, 3, 5))
    while cells < width / 3:
        noise = Image.frombytes("L", (cells, cells), pick.randbytes(cells * cells)).resize((width, height), Image.BICUBIC)
        total = Image.blend(total, noise, 0.45)
        cells *= pick.choice((2, 3))
    total = ImageOps.autocontrast(total)
    ends = [tuple(pick.randint(0, 255) for _ in range(3)) for _ in range(3)]
    return ImageOps.colorize(total, ends[0], ends[2], mid=ends[1])


def cropped(world: World, source: Image.Image, width: int, height: int) -> Image.Image:
    pick = world.random
    share = pick.uniform(0.3, 1.0)
    aspect = width / height
    w = min(source.width, source.height * aspect) * share
    h = w / aspect
    x, y = pick.uniform(0, source.width - w), pick.uniform(0, source.height - h)
    image = source.resize((width, height), Image.BILINEAR, box=(x, y, x + w, y + h))
    if pick.random() < 0.5:
        image = ImageOps.mirror(image)
    if pick.random() < 0.12:
        image = ImageOps.flip(image)
    return image


def toned(world: World, image: Image.Image) -> Image.Image:
    pick = world.random
    image = ImageEnhance.Color(image).enhance(pick.choice((0.0, 0.6, 1.0, 1.0, 1.5)))
    image = ImageEnhance.Brightness(image).enhance(pick.uniform(0.6, 1.3))
    image = ImageEnhance.Contrast(image).enhance(pick.uniform(0.6, 1.4))
    if pick.random() < 0.3:
        bands = list(image.split())
        pick.shuffle(bands)
        image = Image.merge("RGB", bands)
    return image


def photograph(world: World, width: int, height: int) -> Image.Image:
    pick = world.random
    kind = pick.random()
    if kind < 0.55 or not stamps(world.photographs):
        image = cropped(world, pick.choice(shelf(world.photographs)), width, height)
        if pick.random() < 0.15:
            image = Image.blend(image, cropped(world, pick.choice(shelf(world.photographs)), width, height), pick.uniform(0.2, 0.6))
    else:
        ground = clouds(world, width, height) if pick.random() < 0.5 else cropped(world, pick.choice(shelf(world.photographs)), width, height).filter(ImageFilter.GaussianBlur(pick.uniform(2, 12)))
        image = ground
        for _ in range(pick.randint(1, 3)):
            stamp = pick.choice(stamps(world.photographs))
            size = pick.uniform(0.35, 0.95) * min(width, height)
            ratio = size / max(stamp.size)
            stamp = stamp.resize((max(1, round(stamp.width * ratio)), max(1, round(stamp.height * ratio))), Image.BILINEAR)
            if pick.random() < 0.5:
                stamp = stamp.rotate(pick.uniform(-40, 40), Image.BILINEAR, expand=True)
            image.paste(stamp, (round(pick.uniform(-0.2, 0.9) * (width - stamp.width / 2)), round(pick.uniform(-0.1, 0.8) * (height - stamp.height / 2))), stamp)
    return toned(world, image)


def blank(world: World, width: int, height: int) -> Image.Image:
    pick = world.random
    colour = pick.choice(((255, 255, 255), (0, 0, 0), tuple(pick.randint(0, 255) for _ in range(3))))
    if pick.random() < 0.7:
        return Image.new("RGB", (width, height), colour)
    small = Image.new("RGB", (2, 2))
    small.putdata([tuple(max(0, min(255, value + pick.randint(-20, 20))) for value in colour) for _ in range(4)])
    return small.resize((width, height), Image.BILINEAR)


def any_question(world: World) -> tuple[str, bool]:
    """A question that people might put to such a picture, and whether it is in Chinese."""
    pick = world.random
    if pick.random() < 0.08:
        return pick.choice(CHINESE["photograph"]), True
    if pick.random() < 0.5:
        return vary(pick, pick.choice(ASKED)), False
    key = pick.choice(("describe", "read text", "read word", "how many shapes", "only colour", "only shape", "background", "title", "total", "colour of shape", "shape of colour"))
    return vary(pick, pick.choice(ENGLISH[key]).format(shape="circle", colour="red")), False


def scene(world: World, width: int, height: int, sx: float, sy: float, empty: bool | None = None) -> tuple[Canvas, list[Question]]:
    canvas = Canvas(width, height, (0, 0, 0), sx, sy)
    if empty is None:
        empty = world.random.random() < 0.22
    canvas.image = blank(world, width, height) if empty else photograph(world, width, height)
    found = []
    for _ in range(3):
        question, chinese = any_question(world)
        answer = (BLANK_CHINESE if chinese else BLANK) if empty else PHOTOGRAPH_CHINESE if chinese else PHOTOGRAPH
        found.append(Question("blank" if empty else "photograph", question, answer, "decline"))
    return canvas, found
