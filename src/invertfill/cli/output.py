"""What commands say beside their results: one line of success, notes, bars, and what to install."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invertfill.errors import InputError, how_to_install, one_line
from invertfill.notes import Begin

if TYPE_CHECKING:
    from rich.progress import Progress

    from invertfill.batch.work import Record
    from invertfill.pipeline.result import FillResult

FAILURES_SHOWN = 20


Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing, unless something goes wrong.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say why a model was chosen, and more figures.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")]


def say(line: str) -> None:
    print(line, file=sys.stderr)


def print_json(document: object) -> None:
    print(json.dumps(document, indent=1, default=str))


def told_of(path: str, image: str, filled: FillResult | Record, seed: int, notes: Sequence[str]) -> dict[str, Any]:
    """What `--json` says of one result."""
    return {
        "path": path,
        "image": image,
        "model": filled.model,
        "why": filled.why,
        "seed": seed,
        "seconds": round(filled.seconds, 3),
        "size": filled.size,
        "notes": notes,
    }


@dataclass(frozen=True)
class Voice:
    """What a command says beside its result. Notes go to standard error, success to standard output.

    Attributes:
        quiet: neither notes nor success, nor bars.
        verbose: more.
        piped: standard output is taken, by a picture: success goes to standard error.
        json: standard output is taken, by a document that says all.
    """

    quiet: bool = False
    verbose: bool = False
    piped: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise InputError("--quiet together with --verbose; accepted: one or the other")
        if self.piped and self.json:
            raise InputError("--json together with -o -; accepted: -o with a file, as both go to standard output")

    def notes(self, notes: Iterable[str], why: str = "") -> None:
        """A line each. Why a model was chosen is for those who ask."""
        if not self.quiet:
            for note in map(one_line, notes):
                if self.verbose or not (why and note.endswith(one_line(why))):
                    say(f"note: {note}")

    def done(self, line: str) -> None:
        """What was made."""
        if not (self.quiet or self.json):
            print(line, file=sys.stderr if self.piped else sys.stdout)

    def filled(self, told: Mapping[str, Any]) -> None:
        """One result, by `told_of`: "filled.png: portrait model (faces-256), 1.1 s"."""
        chosen = " and ".join(re.findall(r"\w+ model \(.+?\)", told["why"])) or told["model"] or "no model needed"
        line = f"{one_line(told['path'])}: {chosen}, {told['seconds']:.1f} s"
        if self.verbose:
            width, height = told["size"]
            line += f", {width}x{height} px, seed {told['seed']}"
        self.done(line)

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Something moves meanwhile, where someone looks at it."""
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(one_line(what)):
            yield


@contextlib.contextmanager
def pillow_warnings(image: object, notes: Callable[[str], object]) -> Iterator[None]:
    """Note what Pillow says of a damaged file."""
    from PIL.Image import DecompressionBombWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", DecompressionBombWarning)  # large photographs are welcome
        yield
    for warning in caught:
        notes(f"{image}: {warning.message}")


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say what to install where an import of it fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "invertfill":
            raise
        raise InputError(f"{error.name} is not installed; this command needs {how_to_install(extra)}") from None


def progress_bar(unit: str = "picture", hidden: bool = False) -> Progress:
    """A bar that counts, on standard error, and only where someone looks at it.

    Args:
        unit: of what it counts one.
        hidden: not even there.
    """
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
            return Text(f"{1 / speed:.2g} s a {unit}" if speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    console = Console(stderr=True)
    both = sys.stdout.isatty()  # else what is printed meanwhile is for a file, and not for the bar's terminal
    # The rate is that of the last minutes: a bar that has been resumed runs fast at first.
    return Progress(
        *columns,
        console=console,
        speed_estimate_period=120,
        redirect_stdout=both,
        disable=hidden or not console.is_terminal,
    )


@contextlib.contextmanager
def interrupts_raised() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, for work that has something to say or to end then; else see `__main__`."""
    before = signal.getsignal(signal.SIGINT)
    heard = before is not signal.SIG_IGN and threading.current_thread() is threading.main_thread()
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted: the same command goes on from here")
        raise typer.Exit(130) from None
    finally:
        if heard:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def progress_bars() -> Iterator[Begin]:
    """Bars of work that the same command goes on with: see `Begin`."""
    progress = progress_bar("step")

    def begin(what: str, how_many: int) -> Callable[[], None]:
        progress.start()  # again and again does no harm
        return partial(progress.advance, progress.add_task(one_line(what), total=how_many))

    with interrupts_raised():
        try:
            yield begin
        finally:
            progress.stop()
