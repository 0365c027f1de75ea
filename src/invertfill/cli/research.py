"""For research: ``invertfill masks``, ``evaluate``, ``train``, ``data`` and ``export``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from invertfill.cli.options import RESEARCH, examples, takes_options
from invertfill.cli.output import Json, needs_extra, print_json, progress_bar, progress_bars, say
from invertfill.errors import InputError, one_line
from invertfill.masks.names import COVERAGE, KINDS, OUTLINED
from invertfill.options import AUTO, DECLARED, FillOptions

app = typer.Typer()
BLENDS = DECLARED["blend"].choices
train = typer.Typer(help="Train a model; needs the train extra.", no_args_is_help=True)
app.add_typer(train, name="train", rich_help_panel=RESEARCH)
data = typer.Typer(help="Data to train and to test on.", no_args_is_help=True)
app.add_typer(data, name="data", rich_help_panel=RESEARCH)

Outlines = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help=f"A folder of masks of things, white = the thing, for --kind {' and '.join(OUTLINED)}."
    ),
]
Config = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file; see configs/.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Override the file's values.")]


@app.command(
    rich_help_panel=RESEARCH,
    epilog=examples("invertfill masks masks --count 10 --coverage hard --kind freeform --seed 0"),
)
def masks(
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder that the masks go to, as 00000.png and so on.")
    ],
    count: Annotated[int, typer.Option(min=1, metavar="COUNT", help="How many.")],
    size: Annotated[int, typer.Option(min=8, metavar="PIXELS", help="Side in pixels.")] = 256,
    coverage: Annotated[
        str, typer.Option(metavar="CLASS|RANGE", help=f"{', '.join(COVERAGE)}, or a range such as 0.5-0.6.")
    ] = "hard",
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND", autocompletion=lambda: list(KINDS), help=f"{', '.join(KINDS[:-1])} or {KINDS[-1]}."
        ),
    ] = "mixed",
    seed: Annotated[int, typer.Option(min=0, metavar="SEED", help="Another seed draws other masks.")] = 0,
    outlines: Outlines = None,
) -> None:
    """Draw random masks by coverage.

    Prints the SHA-256 by which a table of results names the set.
    """
    from invertfill.imaging.masks import save_mask
    from invertfill.masks.sampler import check_kind, coverage_range, mask_set_hash, sample_masks

    coverage_range(coverage)
    check_kind(kind, outlines)
    with progress_bar("mask") as progress:
        masks = sample_masks(count, size, kind, coverage, seed, outlines)
        drawn = progress.track(masks, total=count, description="drawing")
        digest = mask_set_hash(mask for i, mask in enumerate(drawn) if save_mask(mask, out / f"{i:05d}.png"))
    print(f"{count} masks: {one_line(out)}, SHA-256 of the set {digest}")


@app.command(
    rich_help_panel=RESEARCH,
    epilog=examples("invertfill evaluate --images photos --coverage hard --model faces-256 --method telea -o report"),
)
@takes_options("model", "seed", "samples", "invert_mask", "blend")
def evaluate(
    invocation: typer.Context,
    images: Annotated[Path | None, typer.Option(metavar="FOLDER", help="A folder of pictures.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="The folder of the report.")] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder of masks with the same names; with --coverage, all must lie in that one class.",
        ),
    ] = None,
    coverage: Annotated[
        str,
        typer.Option(
            metavar="CLASSES", help=f"Masks to draw: {', '.join(COVERAGE)} or ranges such as 0.5-0.6, by comma."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, metavar="SEED", help="Of the masks.")] = 0,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            autocompletion=lambda: list(KINDS),
            help=f"Of the masks: {', '.join(KINDS[:-1])} or {KINDS[-1]}.",
        ),
    ] = "freeform",
    outlines: Outlines = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FOLDER", help="A name that `invertfill models` lists, FOLDER, or NAME=FOLDER."),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="Pictures that another program made of the pairs, in FOLDER/CLASS or FOLDER."
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="A method that --list shows, such as telea, w-plus:steps=500 or NAME=w-plus:steps=500.",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="How many pictures, the first by name; without it, all.")
    ] = None,
    size: Annotated[int, typer.Option(metavar="PIXELS", help="Side in pixels that the pictures are brought to.")] = 256,
    relative_to: Annotated[
        str | None, typer.Option(metavar="METHOD", help="A method's name: LPIPS also as a ratio to its, in brackets.")
    ] = None,
    blend: Annotated[
        str,
        typer.Option(
            metavar="BLENDS",
            help=f"How every method's raw output meets the known pixels, by comma: {', '.join(BLENDS)}. auto: each in "
            "its own way. Each gets tables of its own.",
        ),
    ] = AUTO,
    gallery: Annotated[int, typer.Option(min=1, metavar="COUNT", help="How many pairs of each class to show.")] = 8,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="A folder that gets the pairs, as FOLDER/CLASS/images and masks, for other programs."
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the methods and exit.")] = False,
    json: Json = False,
    *,
    options: FillOptions,
) -> None:
    """Compare methods by the paper's protocol.

    All get the same pairs of picture and mask; -o gets a page, tables and a gallery. --model, --predictions and
    --method may be given several times. The same command goes on where it was stopped. Needs the eval extra.
    """
    if list_:
        from invertfill.baselines import list_baselines, show_arguments

        with needs_extra("eval"):
            if json:
                print_json(
                    {
                        "methods": [
                            {
                                "name": found.name,
                                "paper": found.paper,
                                "year": found.year,
                                "differs": found.differs,
                                "arguments": show_arguments(found.arguments),
                            }
                            for found in list_baselines()
                        ]
                    }
                )
                return
            for found in list_baselines():
                print(f"{found.name}\n  paper    {found.paper}, {found.year}\n  differs  {found.differs}")
                if found.arguments:
                    print(f"  takes    {show_arguments(found.arguments)}")
        return
    if images is None:
        raise InputError("no --images; accepted: --images FOLDER, or --list")
    with needs_extra("eval"):
        from invertfill.evaluation.pairs import Source
        from invertfill.evaluation.run import Request, run
    classes = [name for name in dict.fromkeys(coverage.split(",")) if name]
    request = Request(
        Source(images, size, mask, classes, kind, outlines, seed, count),
        out=out,
        models=model or [],
        predictions=predictions or [],
        methods=method or [],
        relative_to=relative_to,
        gallery=gallery,
        pairs=pairs,
        options=options,
        command=shlex.join(["invertfill", *invocation.obj]),
        blends=blend.split(","),
    )
    with progress_bars() as begin, needs_extra("eval"):
        report = run(request, begin)
    if json:
        print_json({name: value for name, value in vars(report).items() if name != "lines"})
        return
    for line in report.lines:
        print(line)
    for note in report.notes:
        say(f"note: {one_line(note)}")


@train.command("gan", epilog=examples("invertfill train gan configs/compact-256-gan.yaml data.path=pictures"))
def train_gan(config: Config, overrides: Overrides = None) -> None:
    """Stage 1: the generator."""
    with needs_extra("train"):
        from invertfill.training.loop import train_gan
    print(f"checkpoint: {train_gan(config, overrides or [])}")


@train.command(
    "inversion", epilog=examples("invertfill train inversion configs/compact-256-inversion.yaml data.path=pictures")
)
def train_inversion(config: Config, overrides: Overrides = None) -> None:
    """Stage 2: the encoder, in front of a trained generator."""
    with needs_extra("train"):
        from invertfill.training.loop import train_inversion
    print(f"checkpoint: {train_inversion(config, overrides or [])}")


@train.command("baseline", epilog=examples("invertfill train baseline configs/baselines/gc.yaml data.path=pictures"))
def train_baseline(config: Config, overrides: Overrides = None) -> None:
    """A method to compare with, as its paper trains it."""
    with needs_extra("train"):
        from invertfill.training.loop import train_baseline
    print(f"checkpoint: {train_baseline(config, overrides or [])}")


@data.command("prepare", epilog=examples("invertfill data prepare celeba-hq DOWNLOAD -o data/celeba-hq"))
def data_prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="celeba-hq, places2, metfaces or scenery.")],
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The official download: a folder, or its zip or tar.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="The folder that gets train, test and split.json.")
    ],
    test_list: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file with the names of the test pictures; without it, they are drawn."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="SEED", help="Of what is drawn.")] = 0,
) -> None:
    """Turn a data set of the paper's into its splits at 256 px.

    Counts are checked and missing files named. The same command goes on where it was stopped.
    """
    from invertfill.training.data.prepare import prepare

    with progress_bars() as begin:
        counts = prepare(name, source, out, seed=seed, test_list=test_list, begin=begin)
    print(f"{', '.join(f'{count} {split}' for split, count in counts.items())}: {one_line(out)}")


@app.command(
    rich_help_panel=RESEARCH,
    epilog=examples(
        "invertfill export runs/mine -o my-model",
        "invertfill fill photo.jpg --mask mask.png --model my-model -o filled.jpg",
    ),
)
def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="FILE|FOLDER", help="A checkpoint of stage 2 or a baseline, or a run: its newest."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="The model folder to write.")],
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The model card, Markdown; a short one is written without it.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="What it was trained on, for --model auto; without it, what it draws."),
    ] = None,
    early: Annotated[
        bool, typer.Option("--early", help="Its training isn't at its end: `invertfill models` says so.")
    ] = False,
) -> None:
    """Make a model folder of a checkpoint.

    It serves as `--model FOLDER` where there is no torch; that of a baseline as `--method NAME:weights=FOLDER`. Needs
    the train extra.
    """
    with needs_extra("train"):
        from invertfill.export import export
    try:
        text = card.read_text(encoding="utf-8") if card else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{card}: can't be read ({error}); accepted: a model card, Markdown") from None
    print(f"model: {one_line(export(checkpoint, out, text, pictures, early))}")
