"""The command ``invertfill``: parsing and printing. What it does lies in the modules that each command imports."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invertfill import __version__
from invertfill.errors import InputError, InputErrors, InvertFillWarning, one_line
from invertfill.masks.names import COVERAGE, KINDS, OUTLINED
from invertfill.registry import AUTO

if TYPE_CHECKING:
    from rich.progress import Progress

    from invertfill.batch.jobs import Job
    from invertfill.batch.run import Summary
    from invertfill.batch.work import Record, Settings

# Plain help and errors: importing Rich's renderers would double the time that --help takes.
app = typer.Typer(
    help="Fill the holes of a picture by inverting a generator.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
train = typer.Typer(help="Train a model; needs the train extra.", no_args_is_help=True)
app.add_typer(train, name="train")
data = typer.Typer(help="Data to train and to test on.", no_args_is_help=True)
app.add_typer(data, name="data")

Model = Annotated[
    str,
    typer.Option(help="auto decides for each picture; or a name that `invertfill models` lists, or a model's folder."),
]
Engine = Annotated[str, typer.Option(help="auto, onnx, openvino or torch.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Quality = Annotated[str, typer.Option(help="fast, or best: some seconds more a hole; needs torch (the train extra).")]
Context = Annotated[
    float | None,
    typer.Option(help="Side of the square around holes that is looked at, in sides of the holes; about 2 without it."),
]
Outlines = Annotated[
    Path | None,
    typer.Option(help=f"A folder of masks of things, white = the thing, for --kind {' and '.join(OUTLINED)}."),
]
FAILURES_SHOWN = 20
SHEET_SIDE, SHEET_GAP = 384, 6  # pixels: of each picture of a contact sheet, and between them
Config = Annotated[Path, typer.Argument(help="A YAML file; see configs/.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override the file's values.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"invertfill {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command()
def fill(
    image: Annotated[Path, typer.Argument(help="A picture, or a folder of pictures.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The filled picture; a folder if IMAGE is one.")],
    mask: Annotated[
        Path | None,
        typer.Option(
            help="White = hole. For a folder: a folder of masks with the same stems, or one mask for all. "
            "Without it, the hole is where the picture is fully transparent."
        ),
    ] = None,
    model: Model = AUTO,
    seed: Annotated[int, typer.Option(min=0, help="0 fills from the mean latent; each other seed fills anew.")] = 0,
    samples: Annotated[
        int,
        typer.Option(min=1, help="So many fills that differ, by seeds from --seed on: OUT-0.png, OUT-1.png, ..."),
    ] = 1,
    contact_sheet: Annotated[
        Path | None, typer.Option(help="A picture of the hole and of all samples, small, with their seeds.")
    ] = None,
    invert_mask: Annotated[bool, typer.Option("--invert-mask", help="Black = hole.")] = False,
    quality: Quality = "fast",
    context: Context = None,
    engine: Engine = "auto",
    device: Device = "auto",
) -> None:
    """Fill the holes of a picture, or of a folder of them.

    Every known pixel stays as it is. In a folder, the results keep the pictures' file names (a GIF becomes a PNG).
    """
    from invertfill import load
    from invertfill.imaging.io import check_output, save_image
    from invertfill.imaging.sheet import contact_sheet as sheet_of
    from invertfill.imaging.sheet import thumbnail
    from invertfill.pipeline.inpainter import show_hole

    if mask is not None and not os.path.exists(mask):  # Path.exists raises where a name is too long
        raise InputError(f"{mask}: no such file; accepted: a mask, white = hole")
    if not os.path.isdir(image):
        seeds = range(seed, seed + samples)
        places = [out.with_stem(f"{out.stem}-{each}") for each in seeds] if samples > 1 else [out]
        for place in [*places, contact_sheet] if contact_sheet else places:
            check_output(place, image, mask)
        with _notes(image):
            fills = load(model, device=device, engine=engine, quality=quality, context=context).fill_samples(
                image, mask, samples, seed=seed, invert_mask=invert_mask
            )
            small = []
            for place, filled in zip(places, fills, strict=True):
                save_image(filled, place)
                if contact_sheet:
                    small.append(thumbnail(filled, SHEET_SIDE))
            if contact_sheet:
                small = [thumbnail(show_hole(image, mask, invert_mask), SHEET_SIDE), *small]
                labels = ["hole", *(f"seed {each}" for each in seeds)]
                columns = math.ceil(math.sqrt(len(small)))
                save_image(sheet_of(small, columns, labels=labels, gap=SHEET_GAP), contact_sheet)
        return
    if samples > 1 or contact_sheet:
        raise InputError(f"{image}: a folder; accepted with --samples and --contact-sheet: one picture")

    from invertfill.batch.jobs import expand
    from invertfill.batch.work import Settings

    jobs = expand(str(image), str(out), str(mask) if mask else None)
    summary = _run(jobs, Settings(model, engine, device, quality, context, seed, invert_mask, overwrite=True))
    print(f"{summary.filled} of {len(jobs)} filled: {one_line(out)}")
    _end(summary)


@app.command()
def batch(
    source: Annotated[str, typer.Argument(help="A folder, a quoted glob, or a .csv or .jsonl list.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The folder of the results.")],
    masks: Annotated[
        str | None,
        typer.Option(
            help="A folder of masks with the same names, or one mask for all; white = hole. "
            "Without it, the hole is where a picture is fully transparent."
        ),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="The folder's subfolders too.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; without it, one for each core, at most 8.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace files in the results' places that no batch made."),
    ] = False,
    report: Annotated[Path | None, typer.Option(help="A file that gets a line of JSON for each picture.")] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="On Ray; needs the cluster extra.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster; without it, one is started on this machine.")
    ] = None,
    model: Model = AUTO,
    seed: Annotated[int, typer.Option(min=0, help="0 fills from the mean latent; each other seed fills anew.")] = 0,
    invert_mask: Annotated[bool, typer.Option("--invert-mask", help="Black = hole.")] = False,
    quality: Quality = "fast",
    context: Context = None,
    engine: Engine = "auto",
    device: Device = "auto",
) -> None:
    """Fill many pictures, in several processes or on a cluster.

    Results that are there already are checked and skipped, so the same command goes on where it was stopped. A list has
    the columns image, out and, optionally, mask. Places may be addresses such as s3://bucket/photos.
    """
    from invertfill.batch.jobs import expand
    from invertfill.batch.work import Settings

    if address is not None and not cluster:
        raise InputError(f"--address {address}; accepted: together with --cluster")
    jobs = expand(source, out, masks, recursive=recursive)
    settings = Settings(model, engine, device, quality, context, seed, invert_mask, overwrite)
    where = (address or "local") if cluster else None
    summary = _run(jobs, settings, workers=workers, out=out, report=report, cluster=where)
    done = f"{summary.filled} filled, {summary.skipped} done before, {len(summary.failed)} failed"
    if summary.left:
        done = f"{done}, {summary.left} left"
    print(f"{done}: {one_line(out)}")
    if summary.left:
        _say("the same command goes on from here")
    _end(summary)


@app.command()
def outpaint(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The larger picture.")],
    left: Annotated[str, typer.Option(help="Pixels to add, such as 120, or a share of the width, such as 25%.")] = "0",
    right: Annotated[str, typer.Option(help="The same on the right.")] = "0",
    top: Annotated[str, typer.Option(help="The same above; a share of the height.")] = "0",
    bottom: Annotated[str, typer.Option(help="The same below.")] = "0",
    aspect: Annotated[str | None, typer.Option(help="Such as 16:9, instead: equal margins on two sides.")] = None,
    model: Model = AUTO,
    seed: Annotated[int, typer.Option(min=0, help="0 fills from the mean latent; each other seed fills anew.")] = 0,
    quality: Quality = "fast",
    engine: Engine = "auto",
    device: Device = "auto",
) -> None:
    """Draw what lies beyond a picture's sides. The picture itself stays as it is."""
    from invertfill import load
    from invertfill.imaging.io import check_output, open_image, save_image
    from invertfill.pipeline.outpainting import margins_for_aspect, parse_margins

    check_output(out, image)
    with _notes(image):
        picture = open_image(image)
        margins = parse_margins(picture.size, left, top, right, bottom)
        if aspect is not None:
            if margins.any:
                raise InputError("--aspect together with margins; accepted: one or the other")
            margins = margins_for_aspect(picture.size, aspect)
            if not margins.any:
                _say(f"note: {image}: has the aspect ratio {aspect} already; the result is a copy")
        elif not margins.any:
            raise InputError("nothing to add; accepted: --left, --right, --top, --bottom or --aspect")
        save_image(
            load(model, device=device, engine=engine, quality=quality).outpaint(picture, **asdict(margins), seed=seed),
            out,
        )


@app.command()
def sample(
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture of the grid.")],
    seeds: Annotated[str, typer.Option(help="Such as 0-15 or 3,7,20-29; one picture each.")] = "0-15",
    truncation: Annotated[float, typer.Option(min=0, help="0 is the mean picture, 1 the full variety.")] = 0.7,
    model: Model = AUTO,
    engine: Engine = "auto",
    device: Device = "auto",
) -> None:
    """Draw what the model's generator knows, as a grid."""
    from invertfill import load
    from invertfill.imaging.io import check_output, save_image
    from invertfill.imaging.sheet import contact_sheet

    check_output(out)
    pictures = load(model, device=device, engine=engine).sample(_seeds(seeds), truncation)
    save_image(contact_sheet(pictures, math.ceil(math.sqrt(len(pictures)))), out)


@app.command()
def masks(
    out: Annotated[Path, typer.Argument(help="The folder that the masks go to, as 00000.png and so on.")],
    count: Annotated[int, typer.Option(min=1, help="How many.")],
    size: Annotated[int, typer.Option(min=8, help="Side in pixels.")] = 256,
    coverage: Annotated[str, typer.Option(help=f"{', '.join(COVERAGE)}, or a range such as 0.5-0.6.")] = "hard",
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS[:-1])} or {KINDS[-1]}.")] = "mixed",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    outlines: Outlines = None,
) -> None:
    """Draw random masks by coverage.

    Prints the SHA-256 by which a table of results names the set.
    """
    from invertfill.imaging.masks import save_mask
    from invertfill.masks.sampler import check_kind, coverage_range, mask_set_hash, sample_masks

    coverage_range(coverage)
    check_kind(kind, outlines)
    with _progress() as progress:
        masks = sample_masks(count, size, kind, coverage, seed, outlines)
        drawn = progress.track(masks, total=count, description="drawing")
        digest = mask_set_hash(mask for i, mask in enumerate(drawn) if save_mask(mask, out / f"{i:05d}.png"))
    print(f"{count} masks: {one_line(out)}, SHA-256 of the set {digest}")


@app.command()
def evaluate(
    context: typer.Context,
    images: Annotated[Path | None, typer.Option(help="A folder of pictures.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The folder of the report.")] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="A folder of masks with the same names; with --coverage, all must lie in that one class."),
    ] = None,
    coverage: Annotated[
        str, typer.Option(help=f"Masks to draw: {', '.join(COVERAGE)} or ranges such as 0.5-0.6, by comma.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the masks.")] = 0,
    kind: Annotated[str, typer.Option(help=f"Of the masks: {', '.join(KINDS[:-1])} or {KINDS[-1]}.")] = "freeform",
    outlines: Outlines = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A name that `invertfill models` lists, FOLDER, or NAME=FOLDER.")
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(help="NAME=DIR: pictures that something else has made of the pairs, in DIR/CLASS or DIR."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method that --list shows, such as telea, w-plus:steps=500 or NAME=w-plus:steps=500."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="So many pictures, the first by name; without it, all.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side in pixels that the pictures are brought to.")] = 256,
    relative_to: Annotated[
        str | None, typer.Option(help="A method's name: LPIPS also as a ratio to its, in brackets.")
    ] = None,
    gallery: Annotated[int, typer.Option(min=1, help="So many pairs of each class are shown.")] = 8,
    pairs: Annotated[
        Path | None,
        typer.Option(help="A folder that gets the pairs, as DIR/CLASS/images and masks, for other programs."),
    ] = None,
    quality: Quality = "fast",
    engine: Engine = "auto",
    device: Device = "auto",
    list_: Annotated[bool, typer.Option("--list", help="List the methods and exit.")] = False,
) -> None:
    """Compare methods by the paper's protocol.

    All get the same pairs of picture and mask; -o gets a page, tables and a gallery. --model, --predictions and
    --method may be given several times. The same command goes on where it was stopped. Needs the eval extra.
    """
    if list_:
        from invertfill.baselines import list_baselines, show_arguments

        with _extra("eval"):
            for found in list_baselines():
                print(f"{found.name}\n  paper    {found.paper}, {found.year}\n  differs  {found.differs}")
                if found.arguments:
                    print(f"  takes    {show_arguments(found.arguments)}")
        return
    if images is None:
        raise InputError("no --images; accepted: --images DIR, or --list")
    with _extra("eval"):
        from invertfill.evaluation.run import Request, run
    request = Request(
        images=images,
        out=out,
        masks=masks,
        coverage=[name for name in dict.fromkeys(coverage.split(",")) if name],
        kind=kind,
        outlines=outlines,
        seed=seed,
        models=model or [],
        predictions=predictions or [],
        methods=method or [],
        count=count,
        size=size,
        relative_to=relative_to,
        gallery=gallery,
        pairs=pairs,
        engine=engine,
        device=device,
        quality=quality,
        command=shlex.join(["invertfill", *context.obj]),
    )
    with _bars() as begin, _extra("eval"):
        report = run(request, begin)
    for line in report.lines:
        print(line)
    for note in report.notes:
        _say(f"note: {one_line(note)}")


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; any but this machine's own asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(envvar="INVERTFILL_TOKEN", help="That requests have to carry; better set in the environment."),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Whoever reaches the address may use it.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name by which the server may be called, such as fill.example.org.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A name that `invertfill models` lists, or FOLDER; the first is the default. All without it."
        ),
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Megabytes of a request.")] = 50,
    max_pixels: Annotated[int, typer.Option(min=1, help="Millions, of a picture given or made.")] = 50,
    max_samples: Annotated[int, typer.Option(min=1, help="Pictures of one request.")] = 8,
    queue: Annotated[int, typer.Option(min=0, help="Requests that wait; more get 503.")] = 16,
    per_client: Annotated[int, typer.Option(min=1, help="Requests of one address at once; more get 429.")] = 8,
    time_limit: Annotated[float, typer.Option(min=1, help="Seconds from a request to its answer.")] = 120,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Fills at once; without it, one for each core, at most 2.")
    ] = None,
    engine: Engine = "auto",
    device: Device = "auto",
) -> None:
    """Open a web page to paint holes on, and an HTTP endpoint for programs.

    The page is at /, the endpoint's description at /docs. Pictures are never written to a disk. Needs the app extra.
    """
    with _extra("app"):
        from invertfill.serve.run import serve
    from invertfill.serve.settings import Limits, Settings, check_access

    check_access(host, token, no_auth)
    limits = Limits(max_upload, max_pixels, max_samples, queue, per_client, time_limit)
    if workers is not None:
        limits = replace(limits, workers=workers)
    settings = Settings(tuple(model or [AUTO]), engine, device, host, tuple(allow_host or []), token, limits)
    serve(settings, port, lambda address: print(f"{address} (Ctrl-C ends it)", flush=True))


@app.command()
def models() -> None:
    """List the models of this installation."""
    from invertfill.registry import find_models, list_models

    found = [*find_models(AUTO), *(model for model in list_models() if model.early)]
    print(f"{AUTO} (default)\n  one of these, for each picture the best")
    for model in found:
        print(model.name + (f" (early: its training goes on; {AUTO} leaves it out)" if model.early else ""))
        print(f"  domain   {model.domain}")
        print(f"  size     {model.size} px, {model.bytes / 1e6:.1f} MB")
        print(f"  licence  {model.licence}")
        print(f"  source   {model.source}")
        print(f"  SHA-256  {model.sha256}")


@train.command("gan")
def train_gan(config: Config, overrides: Overrides = None) -> None:
    """Stage 1: the generator."""
    with _extra("train"):
        from invertfill.training.loop import train_gan
    print(f"checkpoint: {train_gan(config, overrides or [])}")


@train.command("inversion")
def train_inversion(config: Config, overrides: Overrides = None) -> None:
    """Stage 2: the encoder, in front of a trained generator."""
    with _extra("train"):
        from invertfill.training.loop import train_inversion
    print(f"checkpoint: {train_inversion(config, overrides or [])}")


@data.command("prepare")
def data_prepare(
    name: Annotated[str, typer.Argument(help="celeba-hq, places2, metfaces or scenery.")],
    source: Annotated[Path, typer.Argument(help="The official download: a folder, or its zip or tar.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder that gets train, test and split.json.")],
    test_list: Annotated[
        Path | None, typer.Option(help="A file with the names of the test pictures; without it, they are drawn.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
) -> None:
    """Turn a data set of the paper's into its splits at 256 px.

    Counts are checked and missing files named. The same command goes on where it was stopped.
    """
    from invertfill.training.data.prepare import prepare

    with _bars() as begin:
        counts = prepare(name, source, out, seed=seed, test_list=test_list, begin=begin)
    print(f"{', '.join(f'{count} {split}' for split, count in counts.items())}: {one_line(out)}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of stage 2, or a run's folder: its newest.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The model folder to write.")],
    card: Annotated[
        Path | None, typer.Option(help="The model card, Markdown; a short one is written without it.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="What it was trained on, for --model auto; without it, what it draws.")
    ] = None,
    early: Annotated[
        bool, typer.Option("--early", help="Its training isn't at its end: --model auto leaves it out.")
    ] = False,
) -> None:
    """Make a model folder of a checkpoint.

    It serves as `--model FOLDER` where there is no torch. Needs the train extra.
    """
    with _extra("train"):
        from invertfill.export import export
    try:
        text = card.read_text(encoding="utf-8") if card else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{card}: can't be read ({error}); accepted: a model card, Markdown") from None
    print(f"model: {one_line(export(checkpoint, out, text, pictures, early))}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Bad input ends in one line on standard error and exit status 2."""
    try:
        try:
            app(arguments, prog_name="invertfill", obj=list(sys.argv[1:] if arguments is None else arguments))
        finally:
            _flush()
    except InputErrors as error:
        for line in error.lines[:FAILURES_SHOWN]:
            _say(f"invertfill: {line}")
        if len(error.lines) > FAILURES_SHOWN:
            _say(f"and {len(error.lines) - FAILURES_SHOWN} more")
        raise SystemExit(2) from None
    except (InputError, OSError, MemoryError) as error:
        _say(f"invertfill: {one_line(error) or 'not enough memory'}")
        raise SystemExit(2) from None


def _flush() -> None:
    """Write what was printed; what can't be written is dropped, or Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _progress() -> Progress:
    """A bar that counts, on standard error, and only where someone looks at it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.3g}/s" if speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    # The rate is that of the last minutes: a bar that has been resumed runs fast at first.
    return Progress(*columns, console=Console(stderr=True), speed_estimate_period=120)


@contextlib.contextmanager
def _bars() -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Bars of work that the same command goes on with: gives (what, how many) -> to be called after each."""
    progress = _progress()
    progress.disable = not progress.console.is_terminal  # bad input is all that standard error then holds

    def begin(what: str, how_many: int) -> Callable[[], None]:
        progress.start()  # again and again does no harm
        return partial(progress.advance, progress.add_task(one_line(what), total=how_many))

    try:
        yield begin
    except KeyboardInterrupt:
        _say("interrupted: the same command goes on from here")
        raise typer.Exit(130) from None
    finally:
        progress.stop()


def _run(jobs: Sequence[Job], settings: Settings, **options: Any) -> Summary:
    """`invertfill.batch.run.run` with a bar, and with the notes of each fill as they come."""
    from invertfill.batch.run import run

    progress = _progress()
    bar = progress.add_task("filling", total=len(jobs))

    def each(record: Record) -> None:
        for note in record.notes:
            _say(f"note: {one_line(note)}")
        progress.advance(bar)

    def on_interrupt() -> None:
        progress.update(bar, description="finishing those in hand; Ctrl-C again stops at once")

    with contextlib.ExitStack() as stack:  # the bar comes once bad input has been ruled out
        begin = partial(stack.enter_context, progress)
        return run(jobs, settings, on_begin=begin, each=each, on_interrupt=on_interrupt, **options)


def _end(summary: Summary) -> None:
    """Say what isn't done and end with the status that says so too."""
    for record in summary.failed[:FAILURES_SHOWN]:
        _say(f"not filled: {record.reason}")
    if len(summary.failed) > FAILURES_SHOWN:
        _say(f"and {len(summary.failed) - FAILURES_SHOWN} more; `invertfill batch --report FILE` lists all")
    if summary.interrupted:
        _say(f"interrupted: {summary.left} left")
        raise typer.Exit(130)
    if summary.failed:
        raise typer.Exit(1)


@contextlib.contextmanager
def _notes(image: Path) -> Iterator[None]:
    """Print the notes of a fill, and what Pillow says of a damaged file, as one line each."""
    from PIL.Image import DecompressionBombWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InvertFillWarning)
        warnings.simplefilter("ignore", DecompressionBombWarning)  # large photographs are welcome
        yield
    for warning in caught:
        name = "" if issubclass(warning.category, InvertFillWarning) else f"{image}: "
        _say(f"note: {one_line(f'{name}{warning.message}')}")


@contextlib.contextmanager
def _extra(extra: str) -> Iterator[None]:
    """Say what to install where an import of it fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "invertfill":
            raise
        raise InputError(
            f'{error.name} is not installed; this command needs pip install "invertfill[{extra}]"'
        ) from None


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
