"""Turns the WebP files of a packed asset folder back into the PNG and JPEG files that the generator looks for. usage: unpack_photographs.py FOLDER"""

import sys
from pathlib import Path

from PIL import Image

for path in Path(sys.argv[1]).glob("*/*.webp"):
    image = Image.open(path)
    if path.name.endswith(".jpg.webp"):
        image.convert("RGB").save(path.with_suffix(""), quality=95)
    else:
        image.convert("RGBA").save(path.with_suffix(".png"), compress_level=1)
    path.unlink()
