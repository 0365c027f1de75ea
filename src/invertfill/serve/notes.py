"""What fills warn of, for each thread by itself: `warnings.catch_warnings` is one for the whole process."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from invertfill.errors import InvertFillWarning

_here = threading.local()


@contextlib.contextmanager
def collecting() -> Iterator[None]:
    """As long as this lasts, `notes_of` works in every thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", InvertFillWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            notes: list[str] | None = getattr(_here, "notes", None)
            if notes is None:
                others(message, category, *rest, **more)
            elif issubclass(category, InvertFillWarning):
                notes.append(str(message))

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def notes_of() -> Iterator[list[str]]:
    """The list that this thread's notes go to."""
    _here.notes = []
    try:
        yield _here.notes
    finally:
        del _here.notes
