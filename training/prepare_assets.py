"""Subsets the fonts to the characters that are printed, shrinks the photographs, keeps the plain words.

usage: prepare_assets.py UNPACKED_DEBIAN_PACKAGES OUTPUT_FOLDER
"""

import random
import re
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image

from generator.vocabulary import CHINESE_PRINTED, PRINTED_CHARACTERS

# Families that training never sees: they measure how well reading carries over.
TEST_FAMILIES = ("OpenSans", "EBGaramond", "Quicksand", "Courier Prime", "Karla", "GFSDidot")
SKIPPED = re.compile(
    r"Thin|Hairline|ExtraLight|UltraLight|Light\b|LightItalic|Outline|chorus|Tamil|wght|KarlaTamil|Code\.otf|Minus|_K\.|_DR|RZ|_I\.|"
    r"Condensed|08-|Display|Noto(?!Sans-|Serif-)|ExtraBoldItalic|HeavyItalic|BlackItalic|MediumItalic|SemiBoldItalic|SemiboldItalic|CondLight|Retina|"
    r"mplus|Droid"
)
TEST_PHOTOGRAPHS = ("Garden", "LadyBird", "Storm", "goldfish")
PHOTOGRAPHS = (
    "mate/nature/*.jpg", "backgrounds/calla.png", "backgrounds/city.png", "backgrounds/goldfish.png", "backgrounds/desert.png",
)


def subset_font(source: Path, target: Path, characters: str, number: int = -1) -> bool:
    options = subset.Options(layout_features=["kern"], hinting=False, notdef_outline=True, name_IDs=[], font_number=max(number, 0))
    font = TTFont(source, fontNumber=number)
    if not set(map(ord, characters)) <= set(font.getBestCmap()):
        return False
    work = subset.Subsetter(options)
    work.populate(text=characters)
    work.subset(font)
    font.save(target)
    return True


def main(unpacked: Path, output: Path) -> None:
    for name in ("fonts/train", "fonts/test", "fonts/chinese", "photographs/train", "photographs/test"):
        (output / name).mkdir(parents=True, exist_ok=True)
    for source in sorted(unpacked.rglob("*")):
        if source.suffix not in (".ttf", ".otf") or SKIPPED.search(source.name) or "/noto/" in str(source) and not re.match(r"Noto(Sans|Serif)-(Regular|Bold|Italic|Medium)\.ttf", source.name):
            continue
        kind = "test" if source.name.startswith(TEST_FAMILIES) else "train"
        target = output / "fonts" / kind / source.name.replace(" ", "-")
        try:
            if not subset_font(source, target, PRINTED_CHARACTERS):
                print("incomplete", source.name)
        except Exception as error:  # a few fonts carry tables that fontTools cannot subset: leave those out
            print("left out", source.name, type(error).__name__)
            target.unlink(missing_ok=True)
    for source in unpacked.rglob("wqy-microhei.ttc"):
        subset_font(source, output / "fonts/chinese/wqy-microhei.ttf", "".join(CHINESE_PRINTED), 0)
    words = (unpacked / "usr/share/dict/american-english").read_text().split()
    words = [word for word in words if re.fullmatch(r"[a-z]{2,12}", word)]
    (output / "words.txt").write_text("\n".join(words) + "\n")
    photographs = [path for pattern in PHOTOGRAPHS for path in sorted(unpacked.rglob("usr/share/" + ("backgrounds/" if pattern.startswith("mate") else "") + pattern))]
    stamps = [path for path in sorted(unpacked.rglob("stamps/**/*.png")) if re.search(r"stamps/(animals|food|plants|clothes|household|vehicles)/", str(path)) and "cartoon" not in str(path)]
    random.Random(7).shuffle(stamps)
    for path in photographs:
        image = Image.open(path).convert("RGB")
        image.thumbnail((900, 900), Image.LANCZOS)
        kind = "test" if path.stem.startswith(TEST_PHOTOGRAPHS) else "train"
        image.save(output / "photographs" / kind / f"{path.stem}.jpg", quality=88)
    for number, path in enumerate(stamps[:220]):
        image = Image.open(path).convert("RGBA")
        image.thumbnail((360, 360), Image.LANCZOS)
        kind = "test" if number % 6 == 0 else "train"
        image.save(output / "photographs" / kind / f"stamp-{path.stem}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
