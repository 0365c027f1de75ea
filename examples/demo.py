"""Fill the example portraits and show input, hole and result side by side in one PNG.

    python examples/demo.py --out out/demo.png

Each `portrait-NAME.png` here is filled once for each of its masks, `masks/portrait-NAME-KIND.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

import invertfill

EXAMPLES = Path(__file__).resolve().parent
GAP = 8  # pixels between pictures


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(picture, mask) paths."""
    return [
        (picture, mask)
        for picture in sorted(folder.glob("portrait-*.png"))
        for mask in sorted((folder / "masks").glob(f"{picture.stem}-*.png"))
    ]


def row(picture: Image.Image, mask: Image.Image, filled: Image.Image) -> list[Image.Image]:
    """Input, input with the hole in white, result."""
    white = Image.new("RGB", picture.size, "white")
    return [picture, Image.composite(white, picture, mask), filled]


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """All pictures, which have one size, on a grey ground."""
    width, height = (side + GAP for side in rows[0][0].size)
    out = Image.new("RGB", (width * len(rows[0]) + GAP, height * len(rows) + GAP), (64, 64, 64))
    for y, pictures in enumerate(rows):
        for x, picture in enumerate(pictures):
            out.paste(picture, (x * width + GAP, y * height + GAP))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/demo.png"), help="the PNG to write")
    parser.add_argument("--model", default="faces-256", help="a model's name or folder (default: faces-256)")
    arguments = parser.parse_args()

    inpainter = invertfill.load(arguments.model)
    rows = []
    for picture, mask in pairs(EXAMPLES):
        filled = inpainter.fill(picture, mask)
        with Image.open(picture) as image, Image.open(mask) as hole:
            rows.append(row(image.convert("RGB"), hole.convert("L"), filled.convert("RGB")))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(arguments.out, optimize=True)
    print(f"input, hole and result of {len(rows)} fills: {arguments.out.resolve()}")


if __name__ == "__main__":
    main()
