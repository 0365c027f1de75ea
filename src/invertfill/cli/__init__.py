"""The command ``invertfill``: parsing and printing. What it does lies in the modules that each command imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from invertfill import __version__
from invertfill.cli import fill, models, research, serve
from invertfill.cli.output import FAILURES_SHOWN, say
from invertfill.errors import InputError, InputErrors, shortened

# Plain help and errors: importing Rich's renderers would double the time that --help takes.
PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(help="Fill the holes of a picture by inverting a generator.", no_args_is_help=True, **PLAIN)
for group in (fill, serve, models, research):
    app.add_typer(group.app)


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


def run(command: Callable[..., None]) -> None:
    """Run a script of recipes, benchmarks or tools: its parameters are the command line, as of the commands here."""
    script = typer.Typer(**PLAIN)
    script.command()(command)
    main(command=script, name=None)


def main(arguments: Sequence[str] | None = None, command: typer.Typer = app, name: str | None = "invertfill") -> None:
    """Run the command line. Bad input ends in one line on standard error and exit status 2."""
    try:
        try:
            command(arguments, prog_name=name, obj=list(sys.argv[1:] if arguments is None else arguments))
        finally:
            _flush()
    except KeyboardInterrupt:
        say("invertfill: interrupted")
        raise SystemExit(130) from None
    except InputErrors as error:
        for line in error.lines[:FAILURES_SHOWN]:
            say(f"invertfill: {line}")
        if len(error.lines) > FAILURES_SHOWN:
            say(f"and {len(error.lines) - FAILURES_SHOWN} more")
        raise SystemExit(2) from None
    except (InputError, OSError, MemoryError) as error:
        say(f"invertfill: {shortened(error) or 'not enough memory'}")
        raise SystemExit(2) from None


def _flush() -> None:
    """Write what was printed; what can't be written is dropped, or Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
