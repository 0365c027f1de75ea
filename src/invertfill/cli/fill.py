"""Filling: ``invertfill fill``, ``batch``, ``outpaint`` and ``sample``."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invertfill.cli.options import takes_options
from invertfill.cli.output import FAILURES_SHOWN, interrupts_raised, pillow_warnings, progress_bar, say, say_notes
from invertfill.errors import InputError, one_line
from invertfill.notes import Notes
from invertfill.options import OF_HOLE, FillOptions

if TYPE_CHECKING:
    from invertfill.batch.jobs import Job
    from invertfill.batch.run import Summary
    from invertfill.batch.work import Record

app = typer.Typer()
SHEET_SIDE, SHEET_GAP = 384, 6  # pixels: of each picture of a contact sheet, and between them


@app.command()
@takes_options()
def fill(
    image: Annotated[Path, typer.Argument(help="A picture, or a folder of pictures.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The filled picture; a folder if IMAGE is one.")],
    mask: Annotated[
        Path | None,
        typer.Option(
            help="White = hole. For a folder: a folder of masks with the same stems, or one mask for all. "
            "For several pages or frames: one for all, or a file with as many. "
            "Without it and --box, the hole is where the picture is transparent."
        ),
    ] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option(help="A picture of the hole and of all samples, small, with their seeds.")
    ] = None,
    *,
    options: FillOptions,
) -> None:
    """Fill the holes of a picture, or of a folder of them.

    Every known pixel stays as it is, but for what compression makes of it: a JPEG is compressed again. All pages and
    frames of a file are filled. In a folder, the results keep the pictures' file names. With --samples, the results are
    OUT-0.png, OUT-1.png and so on, by their seeds.
    """
    from invertfill.imaging.sheet import contact_sheet as sheet_of
    from invertfill.imaging.sheet import thumbnail
    from invertfill.imaging.sources import check_there
    from invertfill.imaging.writing import check_output, save_image
    from invertfill.pipeline.inpainter import open_inpainter, show_hole

    if mask is not None:
        check_there(mask)
    if not os.path.isdir(image):
        places = [out.with_stem(f"{out.stem}-{seed}") for seed in options.seeds] if options.samples > 1 else [out]
        for place in [*places, contact_sheet] if contact_sheet else places:
            check_output(place, image, mask)
        notes = Notes()
        with _notes_said(image, notes):
            small = []
            for place, result in zip(places, open_inpainter(options).fill_samples(image, mask), strict=True):
                notes(*result.notes)
                result.save(place, note=notes)
                if contact_sheet:
                    small.append(thumbnail(result.image, SHEET_SIDE))
            if contact_sheet:
                small = [thumbnail(show_hole(image, mask, options), SHEET_SIDE), *small]
                labels = ["hole", *(f"seed {seed}" for seed in options.seeds)]
                columns = math.ceil(math.sqrt(len(small)))
                save_image(sheet_of(small, columns, labels=labels, gap=SHEET_GAP), contact_sheet)
        return
    if options.samples > 1 or contact_sheet:
        raise InputError(f"{image}: a folder; accepted with --samples and --contact-sheet: one picture")

    from invertfill.batch.jobs import expand

    jobs = expand(str(image), str(out), str(mask) if mask else None)
    summary = _run(jobs, options, overwrite=True)
    print(f"{summary.filled} of {len(jobs)} filled: {one_line(out)}")
    _end(summary)


@app.command()
@takes_options("samples")
def batch(
    source: Annotated[str, typer.Argument(help="A folder, a quoted glob, or a .csv or .jsonl list.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The folder of the results.")],
    masks: Annotated[
        str | None,
        typer.Option(
            help="A folder of masks with the same names, or one mask for all; white = hole. "
            "Without it and --box, the hole is where a picture is transparent."
        ),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="The folder's subfolders too.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; without it, one for each core, at most 8.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in the results' places that no batch made.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="A file that gets a line of JSON for each picture.")] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="On Ray; needs the cluster extra.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster; without it, one is started on this machine.")
    ] = None,
    *,
    options: FillOptions,
) -> None:
    """Fill many pictures, in several processes or on a cluster.

    Results that are there already are checked and skipped, so the same command goes on where it was stopped. A list has
    the columns image, out and, optionally, mask and box. Places may be addresses such as s3://bucket/photos.
    """
    from invertfill.batch.jobs import expand

    if address is not None and not cluster:
        raise InputError(f"--address {address}; accepted: together with --cluster")
    jobs = expand(source, out, masks, recursive=recursive)
    where = (address or "local") if cluster else None
    summary = _run(jobs, options, overwrite=overwrite, workers=workers, out=out, report=report, cluster=where)
    done = f"{summary.filled} filled, {summary.skipped} done before, {len(summary.failed)} failed"
    if summary.left:
        done = f"{done}, {summary.left} left"
    print(f"{done}: {one_line(out)}")
    if summary.left:
        say("the same command goes on from here")
    _end(summary)


@app.command()
@takes_options("samples", "context", *OF_HOLE)
def outpaint(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The larger picture.")],
    left: Annotated[str, typer.Option(help="Pixels to add, such as 120, or a share of the width, such as 25%.")] = "0",
    right: Annotated[str, typer.Option(help="The same on the right.")] = "0",
    top: Annotated[str, typer.Option(help="The same above; a share of the height.")] = "0",
    bottom: Annotated[str, typer.Option(help="The same below.")] = "0",
    aspect: Annotated[str | None, typer.Option(help="Such as 16:9, instead: equal margins on two sides.")] = None,
    *,
    options: FillOptions,
) -> None:
    """Draw what lies beyond a picture's sides. The picture itself stays as it is."""
    from invertfill.imaging.reading import open_image
    from invertfill.imaging.writing import check_output
    from invertfill.pipeline.inpainter import open_inpainter
    from invertfill.pipeline.outpainting import parse_margins

    check_output(out, image)
    notes = Notes()
    with _notes_said(image, notes):
        size = open_image(image, note=notes).size
        margins = parse_margins(size, left, top, right, bottom, aspect)
        if not margins.any:
            notes(f"{image}: has the aspect ratio {aspect} already; the result is a copy")
        result = open_inpainter(options).outpaint(image, **asdict(margins))
        notes(*result.notes)
        result.save(out, note=notes)


@app.command()
@takes_options("seed", "samples", "context", "blend", "quality", *OF_HOLE)
def sample(
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture of the grid.")],
    seeds: Annotated[str, typer.Option(help="Such as 0-15 or 3,7,20-29; one picture each.")] = "0-15",
    truncation: Annotated[float, typer.Option(min=0, help="0 is the mean picture, 1 the full variety.")] = 0.7,
    *,
    options: FillOptions,
) -> None:
    """Draw what the model's generator knows, as a grid."""
    from invertfill.imaging.sheet import contact_sheet
    from invertfill.imaging.writing import check_output, save_image
    from invertfill.pipeline.inpainter import open_inpainter

    check_output(out)
    pictures = open_inpainter(options).sample(_seeds(seeds), truncation)
    save_image(contact_sheet(pictures, math.ceil(math.sqrt(len(pictures)))), out)


@contextlib.contextmanager
def _notes_said(image: Path, notes: Notes) -> Iterator[None]:
    """Print the notes that were taken and what Pillow says of a damaged file, at the end."""
    with pillow_warnings(image):
        yield
    say_notes(notes)


def _run(jobs: Sequence[Job], options: FillOptions, **how: Any) -> Summary:
    """`invertfill.batch.run.run` with a bar, and with the notes of each fill as they come."""
    from invertfill.batch.run import run

    progress = progress_bar()
    bar = progress.add_task("filling", total=len(jobs))

    def each(record: Record) -> None:
        say_notes(record.notes)
        progress.advance(bar)

    def on_interrupt() -> None:
        progress.update(bar, description="finishing those in hand; Ctrl-C again stops at once")

    with contextlib.ExitStack() as stack:
        if how.get("cluster"):  # whose processes are ended, too
            stack.enter_context(interrupts_raised())
        begin = partial(stack.enter_context, progress)  # the bar comes once bad input has been ruled out
        try:
            return run(jobs, options, on_begin=begin, each=each, on_interrupt=on_interrupt, **how)
        except KeyboardInterrupt:  # the second
            progress.stop()
            say("invertfill: interrupted")
            raise typer.Exit(130) from None


def _end(summary: Summary) -> None:
    """Say what isn't done and end with the status that says so too."""
    for record in summary.failed[:FAILURES_SHOWN]:
        say(f"not filled: {record.reason}")
    if len(summary.failed) > FAILURES_SHOWN:
        say(f"and {len(summary.failed) - FAILURES_SHOWN} more; `invertfill batch --report FILE` lists all")
    if summary.interrupted:
        say(f"interrupted: {summary.left} left")
        raise typer.Exit(130)
    if summary.failed:
        raise typer.Exit(1)


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
