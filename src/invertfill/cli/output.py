"""What the commands share that goes to standard error: notes, bars, and what to install."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from invertfill.errors import InputError, one_line
from invertfill.notes import Begin

if TYPE_CHECKING:
    from rich.progress import Progress

FAILURES_SHOWN = 20


def say(line: str) -> None:
    print(line, file=sys.stderr)


def say_notes(notes: Iterable[str]) -> None:
    """A line each."""
    for note in notes:
        say(f"note: {one_line(note)}")


@contextlib.contextmanager
def pillow_warnings(image: Path) -> Iterator[None]:
    """Print what Pillow says of a damaged file as a line each."""
    from PIL.Image import DecompressionBombWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", DecompressionBombWarning)  # large photographs are welcome
        yield
    say_notes(f"{image}: {warning.message}" for warning in caught)


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say what to install where an import of it fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "invertfill":
            raise
        raise InputError(
            f'{error.name} is not installed; this command needs pip install "invertfill[{extra}]"'
        ) from None


def progress_bar() -> Progress:
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
    progress = progress_bar()
    progress.disable = not progress.console.is_terminal  # bad input is all that standard error then holds

    def begin(what: str, how_many: int) -> Callable[[], None]:
        progress.start()  # again and again does no harm
        return partial(progress.advance, progress.add_task(one_line(what), total=how_many))

    with interrupts_raised():
        try:
            yield begin
        finally:
            progress.stop()
