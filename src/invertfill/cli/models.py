"""What is installed, and what can be got: ``invertfill models`` and ``invertfill weights get``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from invertfill.cli.options import RESEARCH, examples
from invertfill.cli.output import Json, needs_extra, print_json, progress_bars
from invertfill.errors import one_line
from invertfill.options import AUTO

app = typer.Typer()
weights = typer.Typer(help="Weights of the networks that losses and metrics look through.", no_args_is_help=True)
app.add_typer(weights, name="weights", rich_help_panel=RESEARCH)


@app.command(epilog=examples("invertfill models", "invertfill models --json"))
def models(json: Json = False) -> None:
    """List the models of this installation."""
    from invertfill.registry import find_models, list_models

    if json:
        told = ("name", "domain", "size", "bytes", "licence", "source", "sha256", "early", "aligned")
        models = [{key: getattr(model, key) for key in told} for model in list_models()]
        print_json({"default": AUTO, AUTO: [model.name for model in find_models(AUTO)], "models": models})
        return
    print(f"{AUTO} (default)")
    for model in find_models(AUTO):
        general = "everything else, by size and subject" if model.folder else "drawings and scans of few colours"
        print(f"  {model.name} for {'faces that a hole touches' if model.aligned else general}")
    for model in list_models():
        print(model.name + (" (early: its training goes on)" if model.early else ""))
        print(f"  domain   {model.domain}")
        print(f"  size     {model.size} px, {model.bytes / 1e6:.1f} MB")
        print(f"  licence  {model.licence}")
        print(f"  source   {model.source}")
        print(f"  SHA-256  {model.sha256}")


@weights.command(epilog=examples("invertfill weights get lpips-alexnet-linear --from torchmetrics"))
def get(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Such as vgg16-features; without any, all.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|PACKAGE",
            help="Where the published files lie: a folder, or an installed package that carries them, such as "
            "torchmetrics; without it, they are downloaded from their authors.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="The folder to write to; without it, the one that is read."),
    ] = None,
) -> None:
    """Get the weights of VGG16, AlexNet, LPIPS and FID's Inception.

    Losses and metrics read them from the folder that INVERTFILL_WEIGHTS names, or else from ~/.cache/invertfill. Each
    file is checked; what is there already stays. Needs the train or the eval extra.
    """
    with needs_extra("train"):
        from invertfill.losses.weights import get_weights
    with progress_bars() as begin:
        paths = get_weights(names or [], source, out, begin)
    for path in paths:
        print(one_line(path))
