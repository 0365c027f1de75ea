"""Drawing where there is no picture: ``invertfill outpaint`` and ``sample``."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from invertfill.cli.options import RESEARCH, examples, takes_options
from invertfill.cli.output import Quiet, Verbose, Voice, pillow_warnings, told_of
from invertfill.cli.places import PIPE, Format, NoClobber, Picture, Target, open_place
from invertfill.errors import InputError
from invertfill.notes import Notes
from invertfill.options import OF_HOLE, FillOptions

app = typer.Typer()


@app.command(
    epilog=examples(
        "invertfill outpaint photo.jpg --left 25% --right 120 -o wider.jpg",
        "invertfill outpaint photo.jpg --aspect 16:9 -o wide.jpg",
    )
)
@takes_options("samples", "context", *OF_HOLE)
def outpaint(
    picture: Picture,
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE|FOLDER",
            show_default=False,
            help="The larger picture; - writes to a pipe.",
        ),
    ],
    left: Annotated[
        str,
        typer.Option(metavar="PIXELS|SHARE", help="Pixels to add, such as 120, or a share of the width, such as 25%."),
    ] = "0",
    right: Annotated[str, typer.Option(metavar="PIXELS|SHARE", help="The same on the right.")] = "0",
    top: Annotated[str, typer.Option(metavar="PIXELS|SHARE", help="The same above; a share of the height.")] = "0",
    bottom: Annotated[str, typer.Option(metavar="PIXELS|SHARE", help="The same below.")] = "0",
    aspect: Annotated[
        str | None, typer.Option(metavar="W:H", help="Such as 16:9, instead: equal margins on two sides.")
    ] = None,
    format_: Format = None,
    no_clobber: NoClobber = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    *,
    options: FillOptions,
) -> None:
    """Draw what lies beyond a picture's sides. The picture itself stays as it is."""
    from invertfill.pipeline.inpainter import open_inpainter

    voice = Voice(quiet, verbose, piped=out == PIPE)
    image = open_place(picture)
    target = Target(out, image, suffix=format_, no_clobber=no_clobber)
    place, notes = target.check(target.path), Notes()
    with voice.working(f"drawing around {image}"), pillow_warnings(image, notes):
        result = open_inpainter(options).outpaint(image, left=left, top=top, right=right, bottom=bottom, aspect=aspect)
        notes(*result.notes)
        written = target.write(place, result.encode(place, note=notes))
    voice.notes(notes, result.why)
    voice.filled(told_of(written, picture, result, result.seed, notes))


@app.command(
    rich_help_panel=RESEARCH,
    epilog=examples("invertfill sample --model faces-256 --seeds 0-15 -o grid.png"),
)
@takes_options("seed", "samples", "context", "blend", "quality", *OF_HOLE)
def sample(
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", show_default=False, help="The picture of the grid.")
    ],
    seeds: Annotated[str, typer.Option(metavar="SEEDS", help="Such as 0-15 or 3,7,20-29; one picture each.")] = "0-15",
    truncation: Annotated[
        float, typer.Option(min=0, metavar="SHARE", help="0 is the mean picture, 1 the full variety.")
    ] = 0.7,
    no_clobber: NoClobber = False,
    quiet: Quiet = False,
    *,
    options: FillOptions,
) -> None:
    """Draw what the model's generator knows, as a grid."""
    from invertfill.imaging.sheet import contact_sheet
    from invertfill.imaging.writing import encode_image
    from invertfill.pipeline.inpainter import open_inpainter

    voice = Voice(quiet, piped=out == PIPE)
    target = Target(out, no_clobber=no_clobber)
    place = target.check(target.path)
    with voice.working("drawing"):
        pictures = open_inpainter(options).sample(_seeds(seeds), truncation)
        grid = contact_sheet(pictures, math.ceil(math.sqrt(len(pictures))))
        written = target.write(place, encode_image(grid, place))
    voice.done(f"{written}: {len(pictures)} pictures")


def _seeds(text: str) -> list[int]:
    """ "0-3,9" -> [0, 1, 2, 3, 9]."""
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            seeds.extend(range(int(first), int(last if dash else first) + 1))
    except ValueError:
        seeds = []
    if not seeds:
        raise InputError(f"seeds {text!r}; accepted: such as 0-15, 7, or 3,7,20-29")
    return seeds
