"""The two pictures of the README: what InvertFill does, and what it does badly.

    python tools/readme_pictures.py docs/images

The photographs come with scikit-image (extra dev) and the examples; examples/CREDITS.md names their authors. No fill is
chosen: seed 0, the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import skimage
from PIL import Image, ImageDraw, ImageFont
from typer import Argument

import invertfill
from invertfill.cli import run

PHOTOS = Path(skimage.__file__).parent / "data"
EXAMPLES = Path(__file__).parents[1] / "examples"
HEIGHT, GAP, LINE, QUALITY = 300, 8, 26, 85  # pixels: of each picture, between them, of a title; of the JPEG

ROCKET = [(302, 120), (345, 120), (352, 410), (375, 427), (258, 427), (265, 405), (298, 400)]
TEARS = (
    [(0, 150), (120, 120), (215, 95), (300, 150), (512, 210)],
    [(180, 0), (205, 60), (250, 120), (240, 190), (300, 300), (290, 512)],
    [(60, 512), (120, 380), (90, 300), (160, 180)],
)
BLOT = [(225, 95), (275, 80), (285, 125), (262, 140), (228, 128)]


def rocket(pen: ImageDraw.ImageDraw) -> None:
    pen.polygon(ROCKET, 255)


def tears(pen: ImageDraw.ImageDraw) -> None:
    for line in TEARS:
        pen.line(line, 255, 9)
    pen.polygon(BLOT, 255)


def spoon(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((322, 232, 414, 334), 255)
    pen.line([(385, 250), (424, 70)], 255, 26)


def strip(columns: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Titled pictures side by side, brought to one height."""
    font = ImageFont.load_default(16)
    sized = [
        (title, picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), 1))
        for title, picture in columns
    ]
    sheet = Image.new("RGB", (sum(one.width for _, one in sized) + GAP * (len(sized) - 1), HEIGHT + LINE), "white")
    pen, x = ImageDraw.Draw(sheet), 0
    for title, picture in sized:
        pen.text((x, 2), title, "black", font)
        sheet.paste(picture, (x, LINE))
        x += picture.width + GAP
    return sheet


def main(folder: Annotated[Path, Argument(help="Where teaser.jpg and failures.jpg are written.")]) -> None:
    """Fill the photographs and write both pictures."""
    inpainter = invertfill.load()

    def removed(name: str, draw: object) -> tuple[Image.Image, Image.Image]:
        """A photograph with its hole in white, and filled."""
        photo = Image.open(PHOTOS / name).convert("RGB")
        mask = Image.new("L", photo.size)
        draw(ImageDraw.Draw(mask))  # type: ignore[operator]
        shown = photo.copy()
        shown.paste((255, 255, 255), mask=mask)
        return shown, inpainter.fill(photo, mask).image

    def widened(path: Path, aspect: str) -> tuple[Image.Image, Image.Image]:
        photo = Image.open(path).convert("RGB")
        return photo, inpainter.outpaint(photo, aspect=aspect).image

    without, torn = removed("rocket.jpg", rocket), removed("astronaut.png", tears)
    wide = widened(EXAMPLES / "landscape-aitzgorri.png", "16:9")
    titles = ("remove a thing", "", "repair a portrait", "", "widen a view", "")
    teaser = strip(list(zip(titles, (*without, *torn, *wide), strict=True)))
    cup, pad = removed("coffee.png", spoon), widened(PHOTOS / "rocket.jpg", "2:1")
    failures = strip(
        [
            ("a blurred edge of the cup, a stump of the spoon", cup[0]),
            ("", cup[1]),
            ("shrubs in place of a steel tower", pad[1]),
        ]
    )
    teaser.save(folder / "teaser.jpg", quality=QUALITY)
    failures.save(folder / "failures.jpg", quality=QUALITY)


if __name__ == "__main__":
    run(main)
