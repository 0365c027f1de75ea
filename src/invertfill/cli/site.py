"""The page without a server: ``invertfill site``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from invertfill.cli.options import examples
from invertfill.cli.output import Quiet

app = typer.Typer()


@app.command(epilog=examples("invertfill site public", "invertfill site public --runtime downloads --model photos-512"))
def site(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or an empty folder.")],
    runtime: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the packages lie that the site runs on, as npm and pip download them; without it, npm and pip "
            "are called to bring them. Each file is checked.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A model that ships; the first is the default. All without it, photos-512 first."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write the page as files that fill in any browser.

    Any web server can hand them out, also below another address. No photo leaves the visitor's machine.
    """
    from invertfill.browser.build import MODELS, build_site

    written = build_site(folder, runtime, tuple(model or MODELS))
    if not quiet:
        print(
            f"{written.folder}: {written.files} files, {written.bytes / 1e6:.0f} MB; the first fill downloads "
            f"{written.first / 1e6:.0f} MB"
        )
