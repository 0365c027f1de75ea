"""Filling: ``invertfill fill`` and ``batch``."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invertfill.cli.options import examples, takes_options
from invertfill.cli.output import (
    FAILURES_SHOWN,
    Json,
    Quiet,
    Verbose,
    Voice,
    interrupts_raised,
    pillow_warnings,
    print_json,
    progress_bar,
    say,
    told_of,
)
from invertfill.cli.places import PIPE, Format, NoClobber, Target, open_place
from invertfill.errors import InputError, InputErrors, one_line
from invertfill.notes import Notes
from invertfill.options import FillOptions

if TYPE_CHECKING:
    from invertfill.batch.jobs import Job
    from invertfill.batch.run import Summary
    from invertfill.batch.work import Record

app = typer.Typer()
SHEET_SIDE, SHEET_GAP = 384, 6  # pixels: of each picture of a contact sheet, and between them


@app.command(
    epilog=examples(
        "invertfill fill photo.jpg --mask mask.png -o filled.jpg",
        "invertfill fill *.png --mask masks -o filled",
        "invertfill fill - --box 120,80,60,40 -o - < photo.jpg > filled.jpg",
    )
)
@takes_options()
def fill(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE...", show_default=False, help="A picture, several, or a folder of them; - reads a pipe."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE|FOLDER",
            show_default=False,
            help="The filled picture; a folder for several; - writes to a pipe.",
        ),
    ],
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="White = hole. For several pictures: a folder of masks with the same stems, or one mask for all. "
            "For several pages or frames: one for all, or a file with as many. "
            "Without it and --box, the hole is where the picture is transparent.",
        ),
    ] = None,
    contact_sheet: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A picture of the hole and of all samples, small, with their seeds."),
    ] = None,
    format_: Format = None,
    no_clobber: NoClobber = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    *,
    options: FillOptions,
) -> None:
    """Fill the holes of pictures.

    Every known pixel stays as it is, but for what compression makes of it: a JPEG is compressed again. All pages and
    frames of a file are filled. In a folder, the results keep the pictures' file names. With --samples, the results are
    OUT-0.png, OUT-1.png and so on, by their seeds.
    """
    voice = Voice(quiet, verbose, piped=out == PIPE, json=json)
    several = len(pictures) > 1 or os.path.isdir(pictures[0])
    if several or (mask is not None and os.path.isdir(mask) and os.path.isdir(out)):
        if options.samples > 1 or contact_sheet or format_ or PIPE in (*pictures, out, mask):
            raise InputError(
                f"{pictures[0]}: {'a folder' if len(pictures) == 1 else 'several pictures'}; "
                "accepted with --samples, --contact-sheet and -: one picture"
            )
        _fill_several(_jobs(pictures, out, mask), out, no_clobber, voice, options)
        return
    if pictures[0] == mask == PIPE:
        raise InputError("-: the picture and its mask can't both come from one pipe; accepted: a file for one of them")
    _fill_one(pictures[0], out, mask, contact_sheet, format_, no_clobber, voice, options)


def _fill_one(
    picture: str,
    out: str,
    mask_place: str | None,
    contact_sheet: str | None,
    suffix: str | None,
    no_clobber: bool,
    voice: Voice,
    options: FillOptions,
) -> None:
    from invertfill.imaging.sheet import contact_sheet as sheet_of
    from invertfill.imaging.sheet import thumbnail
    from invertfill.imaging.writing import encode_image
    from invertfill.pipeline.inpainter import open_inpainter, show_hole

    mask = open_place(mask_place) if mask_place is not None else None
    image = open_place(picture)
    target = Target(out, image, mask, suffix=suffix, no_clobber=no_clobber)
    places = target.samples(options.seeds)
    sheet = Target(contact_sheet, image, mask, no_clobber=no_clobber) if contact_sheet else None
    if sheet:
        if sheet.piped:
            raise InputError("--contact-sheet -; accepted: a file name")
        sheet.check(sheet.path)
    told, small, notes = [], [], Notes()
    with voice.working(f"filling {image}"), pillow_warnings(image, notes):
        results = open_inpainter(options).iter_samples(image, mask)
        for place, result in zip(places, results, strict=True):
            own = Notes(result.notes)
            written = target.write(place, result.encode(place, note=own))
            notes(*own)
            told.append(told_of(written, str(image), result, result.seed, own))
            if sheet:
                small.append(thumbnail(result.image, SHEET_SIDE))
        if sheet:
            small = [thumbnail(show_hole(image, mask, options), SHEET_SIDE), *small]
            labels = ["hole", *(f"seed {seed}" for seed in options.seeds)]
            columns = math.ceil(math.sqrt(len(small)))
            sheet.write(
                sheet.path, encode_image(sheet_of(small, columns, labels=labels, gap=SHEET_GAP), sheet.path, note=notes)
            )
    voice.notes(notes, told[-1]["why"])
    for one in told:
        voice.filled(one)
    if voice.json:
        print_json({"results": told, "skipped": [], "failed": []})


def _jobs(pictures: Sequence[str], out: str, mask: str | None) -> list[Job]:
    from invertfill.batch.jobs import expand, expand_files
    from invertfill.imaging.sources import check_there

    if len(pictures) == 1 and os.path.isdir(pictures[0]):
        return expand(pictures[0], out, mask)
    missing = []
    for picture in pictures:
        try:
            check_there(picture)
        except InputError as error:
            missing.append(str(error))
        if os.path.isdir(picture):
            missing.append(f"{picture}: a folder among several pictures; accepted: pictures, or one folder alone")
    if missing:
        raise InputErrors(missing)
    return expand_files(pictures, out, mask)


def _fill_several(jobs: list[Job], out: str, no_clobber: bool, voice: Voice, options: FillOptions) -> None:
    from invertfill.batch.storage import read_if_there

    there = [job.out for job in jobs if no_clobber and read_if_there(job.out) is not None]
    voice.notes(f"{place}: is there already; left as it is" for place in there)
    told: list[dict[str, Any]] = []

    def each(record: Record) -> None:
        if record.status == "filled":
            told.append(told_of(record.job.out, record.job.image, record, options.seed, record.notes))
            voice.filled(told[-1])

    wanted = [job for job in jobs if job.out not in there]
    summary = _run(wanted, options, voice, each, overwrite=True)
    skipped = f", {len(there)} there already" if there else ""
    voice.done(f"{summary.filled} of {len(jobs)} filled{skipped}: {one_line(out)}")
    if voice.json:
        failed = [{"image": record.job.image, "reason": record.reason} for record in summary.failed]
        print_json({"results": told, "skipped": there, "failed": failed})
    _end(summary)


@app.command(
    epilog=examples(
        "invertfill batch photos --mask masks -o filled --recursive --workers 4",
        "invertfill batch 'photos/2024-*/*.jpg' --mask mask.png -o filled --report report.jsonl",
    )
)
@takes_options("samples")
def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|GLOB|LIST", show_default=False, help="A folder, a quoted glob, or a .csv or .jsonl list."
        ),
    ],
    out: Annotated[
        str,
        typer.Option("-o", "--out", metavar="FOLDER", show_default=False, help="The folder of the results."),
    ],
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="A folder of masks with the same names, or one mask for all; white = hole. "
            "Without it and --box, the hole is where a picture is transparent.",
        ),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="The folder's subfolders too.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="Processes; without it, one for each core, at most 8.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in the results' places that no batch made.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that gets a line of JSON for each picture.")
    ] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="On Ray; needs the cluster extra.")] = False,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a running Ray cluster; without it, one is started on this machine."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    *,
    options: FillOptions,
) -> None:
    """Fill thousands of pictures, in processes or on a cluster.

    Results that are there already are checked and skipped, so the same command goes on where it was stopped. A list has
    the columns image, out and, optionally, mask and box. Places may be addresses such as s3://bucket/photos.
    """
    from invertfill.batch.jobs import expand

    voice = Voice(quiet, verbose)
    if address is not None and not cluster:
        raise InputError(f"--address {address}; accepted: together with --cluster")
    jobs = expand(source, out, mask, recursive=recursive)
    where = (address or "local") if cluster else None

    def each(record: Record) -> None:
        if verbose and record.status == "filled":
            voice.filled(told_of(record.job.out, record.job.image, record, options.seed, record.notes))

    summary = _run(
        jobs, options, voice, each, overwrite=overwrite, workers=workers, out=out, report=report, cluster=where
    )
    done = f"{summary.filled} filled, {summary.skipped} done before, {len(summary.failed)} failed"
    if summary.left:
        done = f"{done}, {summary.left} left"
    voice.done(f"{done}: {one_line(out)}")
    if summary.left:
        say("the same command goes on from here")
    _end(summary)


def _run(
    jobs: Sequence[Job], options: FillOptions, voice: Voice, each: Callable[[Record], None], **how: Any
) -> Summary:
    """`invertfill.batch.run.run` with a bar, and with the notes of each fill as they come."""
    from invertfill.batch.run import run

    progress = progress_bar(hidden=voice.quiet)
    bar = progress.add_task("filling", total=len(jobs))

    def done(record: Record) -> None:
        voice.notes(record.notes, record.why)
        each(record)
        progress.advance(bar)

    def on_interrupt() -> None:
        progress.update(bar, description="finishing those in hand; Ctrl-C again stops at once")

    with contextlib.ExitStack() as stack:
        if how.get("cluster"):  # whose processes are ended, too
            stack.enter_context(interrupts_raised())
        begin = partial(stack.enter_context, progress)  # the bar comes once bad input has been ruled out
        try:
            return run(jobs, options, on_begin=begin, each=done, on_interrupt=on_interrupt, **how)
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
