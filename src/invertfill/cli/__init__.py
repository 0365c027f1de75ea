"""The command ``invertfill``: parsing and printing. What it does lies in the modules that each command imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from invertfill import __version__
from invertfill.cli import draw, fill, models, research, serve, site
from invertfill.cli.options import examples
from invertfill.cli.output import FAILURES_SHOWN, say
from invertfill.errors import InputError, InputErrors, shortened

# Plain help and errors: importing Rich's renderers would double the time that --help takes.
PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
FORMER = {"masks": "mask"}  # options of some commands, before it was one name everywhere
SETTINGS = {"help_option_names": ["-h", "--help"], "token_normalize_func": lambda name: FORMER.get(name, name)}


class Commands(TyperGroup):
    """Lists the commands in the parts that their `rich_help_panel` names."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        parts: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None)
            parts.setdefault(panel if isinstance(panel, str) else "Fill", []).append(
                (name, command.get_short_help_str(formatter.width - 14))
            )
        for part, rows in parts.items():
            with formatter.section(part):
                formatter.write_dl(rows, col_max=10)


app = typer.Typer(
    cls=Commands,
    help="Fill the holes of a picture by inverting a generator.",
    no_args_is_help=True,
    context_settings=SETTINGS,
    epilog=examples("invertfill fill photo.jpg --mask mask.png -o filled.jpg", "invertfill serve"),
    **PLAIN,
)
for group in (fill, draw, serve, site, models, research):
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
    script = typer.Typer(add_completion=False, **PLAIN)
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
