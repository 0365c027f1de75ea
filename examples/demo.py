"""Fill the example pictures and show input, hole and result side by side in one PNG.

    python examples/demo.py --out out/demo.png

Each `NAME.png` here is filled once for each of its masks, `masks/NAME-KIND.png`, by the model that fits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import invertfill
from invertfill.imaging.reading import open_image
from invertfill.imaging.sheet import contact_sheet
from invertfill.pipeline.inpainter import show_hole

EXAMPLES = Path(__file__).resolve().parent
GAP = 8  # pixels between pictures


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(picture, mask) paths."""
    return [
        (picture, mask)
        for picture in sorted(folder.glob("*.png"))
        for mask in sorted((folder / "masks").glob(f"{picture.stem}-*.png"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/demo.png"), help="the PNG to write")
    parser.add_argument("--model", default="auto", help="a model's name or folder, or auto (the default)")
    arguments = parser.parse_args()

    inpainter = invertfill.load(arguments.model)
    pictures = []
    for picture, mask in pairs(EXAMPLES):
        pictures += [open_image(picture), show_hole(picture, mask), inpainter.fill(picture, mask).image]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(pictures, 3, gap=GAP).save(arguments.out, optimize=True)
    print(f"input, hole and result of {len(pictures) // 3} fills: {arguments.out.resolve()}")


if __name__ == "__main__":
    main()
